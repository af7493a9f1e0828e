"""Keras models to TFLite and ONNX files, each written only if it is proven equal enough."""
