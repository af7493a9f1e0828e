"""Is a file close enough to its model? The gate, what it saw, and outputs to check devices with."""
