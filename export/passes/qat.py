"""Quantization-aware training: the network learns with the rounding that 8 bits will bring.

Zeros and clusters that earlier passes have made stay (TFMOT's PQAT, CQAT and PCQAT). Source: Jacob et
al.: Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
arXiv:1712.05877; by TFMOT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.errors import InputError
from edgewright.train.stack import import_tfmot

if TYPE_CHECKING:
    from edgewright.export.tuner import Tuner

_MOST_VALUES = 256  # a layer with more distinct weights is not clustered
_OUTPUT_ONLY = ("Rescaling", "Resizing")  # without weights; TFMOT has to be told that it may
_RANGES = tuple(f"{what}_{end}" for what in ("activation", "output") for end in ("min", "max"))
_STEP = 0.001  # of the way that TFMOT moves a range
_START = 4  # batches, the later ones seen through the ranges that the earlier have set
_WITH_ITS_CONVOLUTION = "BatchNormalization"


class Qat:
    examples = ("qat",)
    rank = 3
    only = ("tflite-int8",)
    why_only = "what it trains is the rounding of an all-integer TFLite file"
    fake_quantizes = True

    def takes(self, name: str) -> bool:
        return name == "qat"

    def check(self, model: Any) -> None:
        supports = _registry().supports
        for layer in model.layers[1:]:
            kind = type(layer).__name__
            if kind == _WITH_ITS_CONVOLUTION:
                before = layer.input._keras_history.layer
                if type(before).__name__ in ("Conv2D", "DepthwiseConv2D", "Dense"):
                    continue
            elif kind in _OUTPUT_ONLY or supports(layer):
                continue
            where = " but right behind a convolution or dense layer" if kind == _WITH_ITS_CONVOLUTION else ""
            raise InputError(
                f"qat cannot train layer '{layer.name}' ({kind}) in 8 bits: TFMOT does not know it{where}; "
                "leave qat out"
            )

    def apply(self, name: str, tuner: Tuner) -> Any:
        tfmot = import_tfmot().quantization.keras
        from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
            default_8bit_quantize_configs as configs,
        )

        def annotate(layer: Any) -> Any:
            if type(layer).__name__ in _OUTPUT_ONLY:
                return tfmot.quantize_annotate_layer(layer, configs.Default8BitOutputQuantizeConfig())
            return tfmot.quantize_annotate_layer(layer)

        annotated = tuner.tf_keras.models.clone_model(tuner.model, clone_function=annotate)
        with tfmot.quantize_scope(
            {"Default8BitOutputQuantizeConfig": configs.Default8BitOutputQuantizeConfig}
        ):
            model = tfmot.quantize_apply(annotated, _scheme(tuner))
        _read_raw_pixels(model, tuner.input_range)
        _start_ranges(model, [tuner.batch(i) for i in range(_START)])
        tuner.fit(model)
        return model


def _registry() -> Any:
    import_tfmot()
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_registry as default,
    )

    return default.Default8BitQuantizeRegistry()


def _scheme(tuner: Tuner) -> Any:
    """TFMOT's 8-bit scheme, with quantizers that keep what earlier passes have made of each layer.

    TFMOT's own schemes share a quantizer among layers, and one layer without zeros, such as the last,
    which is not pruned, then ends the keeping of zeros in all of them.
    """
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (
        cluster_preserve_quantize_registry as clusters,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
        prune_preserve_quantize_registry as zeros,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_scheme as default,
    )

    plain, clustered, sparse = _registry(), tuner.made_by("cluster"), tuner.made_by("prune")

    class Registry:
        def supports(self, layer: Any) -> bool:
            return bool(plain.supports(layer))

        def get_quantize_config(self, layer: Any) -> Any:
            if type(layer).__name__ not in ("Conv2D", "Dense"):
                return plain.get_quantize_config(layer)
            kernel = layer.kernel.numpy()
            has_zeros = sparse and bool((kernel == 0).any())
            if clustered and len(np.unique(kernel)) <= _MOST_VALUES:
                own = clusters.Default8bitClusterPreserveQuantizeRegistry(has_zeros)
            elif has_zeros:
                own = zeros.Default8bitPrunePreserveQuantizeRegistry()
            else:
                own = plain
            return own.get_quantize_config(layer)

    class Scheme(default.Default8BitQuantizeScheme):  # type: ignore[misc]
        def get_quantize_registry(self) -> Registry:
            return Registry()

    return Scheme()


def _start_ranges(model: Any, batches: Sequence[NDArray[np.float32]]) -> None:
    """Give each activation the range it has on a few batches.

    TFMOT starts at -6 to 6 and moves a thousandth of the way a step: after 500 steps more than half of the
    first range is left, and 8 bits are spent on what no activation is. What a step moves is enough to
    tell where to.
    """
    ranges = [v for v in model.weights if v.name.partition(":")[0].endswith(_RANGES) and v.shape.rank == 0]
    others = [(v, v.numpy()) for v in model.weights if not any(v is found for found in ranges)]
    for images in batches:
        before = [v.numpy() for v in ranges]
        model(images, training=True)
        for variable, value in zip(ranges, before, strict=True):
            variable.assign(value + (variable.numpy() - value) / _STEP)
    for variable, value in others:
        variable.assign(value)


def _read_raw_pixels(model: Any, input_range: tuple[float, float]) -> None:
    """Let the input's quantization take a pixel as it is. Training widens this range only, to the same."""
    (quantize,) = (layer for layer in model.layers if type(layer).__name__ == "QuantizeLayer")
    for variable in quantize.weights:
        for end, value in zip(("_min", "_max"), input_range, strict=True):
            if variable.name.partition(":")[0].endswith(end):
                variable.assign(value)


PASS = Qat()
