"""What is done to an int8 TFLite file once it is converted."""
