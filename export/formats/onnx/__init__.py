"""ONNX files: by tf2onnx and onnxruntime."""

from edgewright.export.formats.onnx.schemes import FORMAT

__all__ = ["FORMAT"]
