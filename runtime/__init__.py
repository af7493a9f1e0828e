"""Runs exported models on a device: numpy and Pillow, and LiteRT or onnxruntime for the files.

    from edgewright.runtime import load

    with load("bundle") as predictor:  # or one .tflite / .onnx file out of it
        for found in predictor.predict("shoe.png", k=3):
            print(found.label, found.probability)

Names are imported when they are first asked for, so that `edgewright --help` needs no numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.runtime import plugins

if TYPE_CHECKING:
    from edgewright.runtime.bundle.manifest import Bundle, Manifest
    from edgewright.runtime.bundle.parity import ParityReport
    from edgewright.runtime.contract import InputContract, ModelContract, TensorSpec
    from edgewright.runtime.errors import EdgewrightError
    from edgewright.runtime.evaluation import Evaluation, evaluate
    from edgewright.runtime.predictor import FailedImage, Prediction, Predictor, load
    from edgewright.runtime.signing import SignedBy, sign
    from edgewright.runtime.verification import verify

__all__ = ["Bundle", "EdgewrightError", "Evaluation", "FailedImage", "InputContract", "Manifest"]
__all__ += ["ModelContract", "ParityReport", "Prediction", "Predictor", "SignedBy", "TensorSpec"]
__all__ += ["evaluate", "load", "sign", "verify"]

_HOME = {
    "edgewright.runtime.bundle.manifest": ("Bundle", "Manifest"),
    "edgewright.runtime.bundle.parity": ("ParityReport",),
    "edgewright.runtime.contract": ("InputContract", "ModelContract", "TensorSpec"),
    "edgewright.runtime.errors": ("EdgewrightError",),
    "edgewright.runtime.evaluation": ("Evaluation", "evaluate"),
    "edgewright.runtime.predictor": ("FailedImage", "Prediction", "Predictor", "load"),
    "edgewright.runtime.signing": ("SignedBy", "sign"),
    "edgewright.runtime.verification": ("verify",),
}

__getattr__ = plugins.lazy(__name__, _HOME)
