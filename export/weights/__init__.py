"""What is done to weights whatever format they are stored in. Pure numpy."""
