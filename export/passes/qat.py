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

from edgewright.export.passes import Pass
from edgewright.runtime.errors import InputError
from edgewright.train.stack import import_tfmot

if TYPE_CHECKING:
    from edgewright.export.network.trainer import Trainer

_MOST_VALUES = 256  # a layer with more distinct weights is not clustered
_OUTPUT_ONLY = ("Rescaling", "Resizing")  # without weights; TFMOT has to be told that it may
_RANGES = tuple(f"{what}_{end}" for what in ("activation", "output") for end in ("min", "max"))
_STEP = 0.001  # of the way that TFMOT moves a range
_START = 4  # batches
_DEAD = 1e-6  # a channel of no greater weights
_WITH_ITS_CONVOLUTION = "BatchNormalization"


class Qat(Pass):
    examples = ("qat",)
    rank = 3
    only = ("tflite-int8",)
    why_only = "what it trains is the rounding of an all-integer TFLite file"
    fake_quantizes = True

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

    def apply(self, name: str, trainer: Trainer) -> Any:
        ends = trainer.normalization.linear_range
        if ends is None:
            raise InputError(
                "expected pixels brought to one range that holds 0, for all channels in their order "
                "(--input-range), for qat, whose files take raw pixels; leave qat out"
            )
        tfmot = import_tfmot().quantization.keras
        from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
            default_8bit_quantize_configs as configs,
        )

        _equalize(trainer.model)

        def annotate(layer: Any) -> Any:
            if type(layer).__name__ in _OUTPUT_ONLY:
                return tfmot.quantize_annotate_layer(layer, configs.Default8BitOutputQuantizeConfig())
            return tfmot.quantize_annotate_layer(layer)

        annotated = trainer.tf_keras.models.clone_model(trainer.model, clone_function=annotate)
        with tfmot.quantize_scope(
            {"Default8BitOutputQuantizeConfig": configs.Default8BitOutputQuantizeConfig}
        ):
            model = tfmot.quantize_apply(annotated, _scheme(trainer))
        _read_raw_pixels(model, ends)
        _start_ranges(model, [trainer.batch(i) for i in range(_START)])
        trainer.fit(model)
        return model


def _registry() -> Any:
    import_tfmot()
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_registry as default,
    )

    return default.Default8BitQuantizeRegistry()


def _scheme(trainer: Trainer) -> Any:
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

    plain, clustered, sparse = _registry(), trainer.made_by("cluster"), trainer.made_by("prune")

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


def _equalize(model: Any) -> None:
    """Give the channels of each depthwise kernel one range; the BatchNormalization behind takes their scales.

    TFMOT rounds a depthwise kernel with one step for all channels, and those of a MobileNetV2 differ up to
    741 times in range: with ImageNet's weights its rounding alone took the loss from .05 to 6.9, with equal
    ranges to .05. The scores stay what they were, and so does the kernel's root mean square, which the
    learning rate is set for. After Nagel et al.: Data-Free Quantization Through Weight Equalization and Bias
    Correction, arXiv:1906.04721.
    """
    for layer in model.layers:
        if type(layer).__name__ != _WITH_ITS_CONVOLUTION or not layer.scale:
            continue
        depthwise = layer.input._keras_history.layer
        if type(depthwise).__name__ != "DepthwiseConv2D" or depthwise.use_bias:
            continue
        kernel = depthwise.depthwise_kernel.numpy()
        channels = kernel.reshape(-1, kernel.shape[2] * kernel.shape[3])  # in the order of the output
        most = np.abs(channels).max(axis=0)
        if most.max() <= _DEAD:
            continue
        factor = 1 / np.where(most > _DEAD, most, most.max())
        factor *= np.sqrt(np.square(channels).mean() / np.square(channels * factor).mean())
        mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
        scaled = factor**2 * variance
        depthwise.depthwise_kernel.assign((channels * factor).reshape(kernel.shape))
        layer.gamma.assign(
            layer.gamma.numpy() * np.sqrt((scaled + layer.epsilon) / (variance + layer.epsilon)) / factor
        )
        layer.moving_mean.assign(mean * factor)
        layer.moving_variance.assign(scaled)


def _start_ranges(model: Any, batches: Sequence[NDArray[np.float32]]) -> None:
    """Give each activation the range it has on a few batches, and each kernel its own.

    TFMOT starts at -6 to 6 and moves a thousandth of the way a step: after 500 steps more than half of the
    first range is left, and 8 bits are spent on what no activation is. What a step moves is enough to
    tell where to. Nothing is rounded meanwhile: a layer would see what the ranges of those before it, not
    yet known, leave of an image, and in a MobileNetV2 those are fifty.
    """
    from tensorflow_model_optimization.python.core.quantization.keras import quant_ops

    named = [(v, v.name.partition(":")[0]) for v in model.weights]
    ranges = [v for v, name in named if name.endswith(_RANGES) and v.shape.rank == 0]
    others = [(v, v.numpy()) for v, name in named if not name.endswith(("_min", "_max"))]
    before = [v.numpy() for v in ranges]
    seen = []
    rounding = quant_ops._FakeQuantWithMinMaxVars
    quant_ops._FakeQuantWithMinMaxVars = lambda inputs, *_, **__: inputs
    try:
        for images in batches:
            model(images, training=True)
            seen.append([old + (v.numpy() - old) / _STEP for v, old in zip(ranges, before, strict=True)])
            for variable, old in zip(ranges, before, strict=True):
                variable.assign(old)
    finally:
        quant_ops._FakeQuantWithMinMaxVars = rounding
    for variable, end in zip(ranges, np.mean(seen, axis=0), strict=True):
        variable.assign(end)
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
