"""What is done to an int8 ONNX model once it is converted, one `Refinement` a file."""
