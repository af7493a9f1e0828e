"""Runs exported models on a device: numpy and Pillow, and LiteRT or onnxruntime for the files.

    from edgewright.runtime import load

    with load("bundle") as predictor:  # or one .tflite / .onnx file out of it
        for found in predictor.predict("shoe.png", k=3):
            print(found.label, found.probability)

Names are imported when they are first asked for, so that `edgewright --help` needs no numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewright.runtime.bundle.manifest import Bundle, Manifest, ParityReport
    from edgewright.runtime.contract import InputContract, ModelContract, TensorSpec
    from edgewright.runtime.errors import EdgewrightError
    from edgewright.runtime.predictor import FailedImage, Prediction, Predictor, load
    from edgewright.runtime.verification import verify

__all__ = [
    "Bundle",
    "EdgewrightError",
    "FailedImage",
    "InputContract",
    "Manifest",
    "ModelContract",
    "ParityReport",
    "Prediction",
    "Predictor",
    "TensorSpec",
    "load",
    "verify",
]

_HOME = {
    "Bundle": "bundle.manifest",
    "EdgewrightError": "errors",
    "FailedImage": "predictor",
    "InputContract": "contract",
    "Manifest": "bundle.manifest",
    "ModelContract": "contract",
    "ParityReport": "bundle.manifest",
    "Prediction": "predictor",
    "Predictor": "predictor",
    "TensorSpec": "contract",
    "load": "predictor",
    "verify": "verification",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
