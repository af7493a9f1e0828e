"""The main job on real images: every default variant is proven and written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from edgewright.export.exporter import Result


def test_every_default_variant_passes_and_agrees(exported: tuple[Path, Result]) -> None:
    _, result = exported
    assert [o.name for o in result.outcomes if o.passed] == [
        "tflite-float32",
        "tflite-float16",
        "tflite-dynamic-int8",
        "tflite-int8",
        "onnx-float32",
        "onnx-int8",
    ]
    for outcome in result.outcomes:
        assert outcome.parity is not None
        assert outcome.parity.samples == 2000
        assert outcome.parity.tie_agreement >= 0.995, outcome
