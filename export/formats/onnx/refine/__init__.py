"""What is done to an int8 ONNX file once it is converted."""
