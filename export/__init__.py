"""Keras models to TFLite and ONNX files, each written only if it is proven equal enough.

    from edgewright.export import Given, Normalization, Options, export

    says = Given(normalization=Normalization.of_range(-1, 1), test="test", calibration="train")
    result = export("model.keras", Options(out="bundle", variants="tflite-int8,onnx-float32", given=says))
    for outcome in result.outcomes:
        print(outcome.name, outcome.passed, outcome.reason)

A checkpoint that train wrote needs no `given`. Names are imported when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.runtime import plugins

if TYPE_CHECKING:
    from edgewright.export.exporter import Result, export
    from edgewright.export.judging import Outcome
    from edgewright.export.network.model import FileInterface
    from edgewright.export.source.options import Given, Options
    from edgewright.export.variants import Variant
    from edgewright.train.normalization import Normalization

__all__ = ["FileInterface", "Given", "Normalization", "Options", "Outcome", "Result", "Variant", "export"]

_HOME = {
    "edgewright.export.exporter": ("Result", "export"),
    "edgewright.export.judging": ("Outcome",),
    "edgewright.export.network.model": ("FileInterface",),
    "edgewright.export.source.options": ("Given", "Options"),
    "edgewright.export.variants": ("Variant",),
    "edgewright.train.normalization": ("Normalization",),
}

__getattr__ = plugins.lazy(__name__, _HOME)
