"""ONNX files of any origin as float networks. Live in the converting child; TensorFlow is not needed."""
