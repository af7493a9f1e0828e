"""What is done to an int8 .tflite file once it is converted, one `Refinement` a file."""
