"""TFLite files: by TensorFlow's converter and ai-edge-quantizer."""

from edgewright.export.formats.tflite.schemes import FORMAT

__all__ = ["FORMAT"]
