"""TFLite by TensorFlow's own converter, from a traced function with the variables held beside it.

That entry was right on every network tried and keeps the names; handing the Keras 3 model to
`from_concrete_functions` silently writes a file without its weights.

Weights alone are quantized by ai-edge-quantizer, which can leave the last dense layer in float32: on
fashion-mlp weight-int4 then agrees with the float model on .9835 of the images instead of .9655.

    microseconds an image  float32  float16  dynamic-int8  int8  weight-int8  weight-int4  int16x8
    fashion-mlp                 12       12           5.2   6.5           11           14       55
    cifar10-cnn                208      168            77   106          176          631     4044
    cifar10-resnet8            230      166            78   104          155          764     4986

Medians of a thread's CPU time, the files in turn, at least 104 rounds; random weights, batch 1, one
thread, LiteRT 2.3.0, x86_64 with AVX-512 VNNI; to measure again, time `Session.run` of such files.
int16x8 runs on LiteRT's builtin kernels, all others on XNNPACK.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from edgewright.export.formats import (
    SMALL_CLASSIFIER,
    WHY_FLOAT_CLASSIFIER,
    Context,
    Conversion,
    Scheme,
    refine,
)
from edgewright.export.formats.tflite import metadata as tflite_metadata
from edgewright.export.formats.tflite import rounding as tflite_rounding
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.quantizer import (
    RAW_PIXELS,
    REFINEMENTS,
    TRAINED,
    Quantizer,
    check_input,
    static_choices,
)
from edgewright.export.formats.tflite.refine import gpu
from edgewright.export.network.model import KERAS, SAVED_MODEL
from edgewright.export.network.network import Network
from edgewright.export.weights import rounding
from edgewright.export.weights.summary import Weights
from edgewright.runtime.contract import ModelContract, stamp
from edgewright.train.datasets import Images
from edgewright.train.stack import versions

Converted: TypeAlias = tuple[Any, dict[str, Any]]  # the file as a tree, and what was chosen


def _converter(network: Network, function: Any) -> Any:
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], network.holder)


def _float32(network: Network, _: Images) -> Converted:
    return tflite_tree.read(_float32_file(network)), {"input": RAW_PIXELS}


@lru_cache(maxsize=1)  # other schemes start from it too
def _float32_file(network: Network) -> bytes:
    raw: bytes = _converter(network, network.on_pixels).convert()
    return raw


def _float16(network: Network, _: Images) -> Converted:
    import tensorflow as tf

    converter = _converter(network, network.on_pixels)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return tflite_tree.read(converter.convert()), {"input": RAW_PIXELS}


def _dynamic_int8(network: Network, _: Images) -> Converted:
    from ai_edge_quantizer import recipe

    return _weights_quantized(network, recipe.dynamic_wi8_afp32(), "int8 per channel")


def _dynamic_int8_gpu(network: Network, images: Images) -> Converted:
    """A scheme of its own: 8 bits that are chosen as activations come are chosen of other ones then, so it is
    another file for the gate; and XNNPACK leaves the pools to plain kernels, which takes 6 % of ResNet-8's
    time."""
    tree, chosen = _dynamic_int8(network, images)
    written = gpu.rewrite(tree)
    return tree, chosen | ({"gpu": written} if written else {})


def _weight_int8(network: Network, _: Images) -> Converted:
    from ai_edge_quantizer import recipe

    return _weights_quantized(network, recipe.weight_only_wi8_afp32(), "int8 per channel")


def _weight_int4(network: Network, images: Images) -> Converted:
    """Depthwise convolutions in 8 bits: ai-edge-quantizer leaves them in float32 else, and of a MobileNetV2
    they are 7 % more bytes then."""
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    raw = _float32_file(network)
    float32 = tflite_tree.read(raw)
    loops = len(float32.subgraphs) > 1  # what is in them is rounded weight by weight
    bits = {} if loops else rounding.bits(tflite_rounding.places(float32, _small_classifier(raw)))
    network.began("rounding weights")
    layers = tflite_rounding.rounded(raw, bits, images)
    network.began("quantizing")
    how = RecipeManager()
    how.add_weight_only_config(".*", TFLOperationName.ALL_SUPPORTED, num_bits=rounding.BITS)
    how.add_weight_only_config(".*", TFLOperationName.DEPTHWISE_CONV_2D, num_bits=8)
    order = tflite_tree.operators(float32)
    for place in (place for place, count in bits.items() if count == 8):
        name = tflite_tree.tensor_name(float32, order[place].outputs[0])
        how.add_weight_only_config(f"^{re.escape(name)};?$", TFLOperationName(order[place].name), num_bits=8)
    tree, chosen = _weights_quantized(network, how.get_quantization_recipe(), rounding.note(bits))
    tflite_rounding.store(tree, layers, float32)
    return tree, chosen | ({"rounding": rounding.HOW} if layers else {})


def _weights_quantized(network: Network, how: Any, weights: str) -> Converted:
    """By ai-edge-quantizer, which can leave single layers alone and knows weights that are only stored."""
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.qtyping import TFLOperationName

    raw = _float32_file(network)
    quantizing = quantizer.Quantizer(raw, how)
    version = versions("ai-edge-quantizer")["ai-edge-quantizer"]
    chosen = {"input": RAW_PIXELS, "quantizer": f"ai-edge-quantizer {version}", "weights": weights}
    if classifier := _small_classifier(raw):
        quantizing.update_quantization_recipe(
            f"^{re.escape(classifier)};?$",
            TFLOperationName.FULLY_CONNECTED,
            algorithm_key=recipe.AlgorithmName.NO_QUANTIZE,
        )
        chosen |= {"float32": "the last dense layer", "why": f"it {WHY_FLOAT_CLASSIFIER}"}
    return tflite_tree.read(bytes(quantizing.quantize().quantized_model)), chosen


def _small_classifier(raw: bytes) -> str | None:
    """Output of the last FULLY_CONNECTED, if few of the file's weights are in it; else None."""
    tree = tflite_tree.read(raw)
    dense = [op for op in tflite_tree.operators(tree) if op.name == "FULLY_CONNECTED"]
    weights = tflite_tree.constant_sizes(tree)
    if not dense or weights.get(dense[-1].inputs[1], 0) > SMALL_CLASSIFIER * sum(weights.values()):
        return None
    return tflite_tree.tensor_name(tree, dense[-1].outputs[0])


def _int8(network: Network, calibration: Images) -> Converted:
    import tensorflow as tf

    network = network.without_loops  # the calibrator dies of one
    pixels = network.interface.dtype == "uint8"
    converter = _converter(network, network.on_scaled if pixels else network.on_pixels)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if not network.fake_quantized:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: (
            [network.scaled(sample) if pixels else sample] for sample in network.calibrating(calibration)
        )
    converter.inference_input_type = converter.inference_output_type = tf.as_dtype(network.interface.dtype)
    tree = tflite_tree.read(converter.convert())
    ranges = "training" if network.fake_quantized else "the calibration images"
    chosen = static_choices(pixels=pixels, ranges=f"ranges from {ranges}")
    float32 = None
    if not network.fake_quantized:
        raw = _float32_file(network)
        float32 = raw, tflite_tree.read(raw)
    context = Context(network=network, float32=float32, calibration=calibration)
    chosen |= refine(tree, TRAINED if network.fake_quantized else REFINEMENTS, context)
    if pixels or not network.fake_quantized:  # else floats are scaled before training's own quantization
        check_input(tree, network.input_range if pixels else (0.0, 255.0))
    return tree, chosen


def _int16x8(network: Network, calibration: Images) -> Converted:
    """Float operators for the pixels' scaling, as the converter refuses uint8 beside 16-bit activations."""
    import tensorflow as tf

    network = network.without_loops
    converter = _converter(network, network.on_pixels)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
        tf.lite.OpsSet.TFLITE_BUILTINS,
    ]
    converter.representative_dataset = lambda: ([s] for s in network.calibrating(calibration))
    return tflite_tree.read(converter.convert()), {
        "input": RAW_PIXELS,
        "weights": "int8 per channel",
        "activations": "int16 per tensor, symmetric, ranges from the calibration images",
    }


_INT8 = Scheme(
    summary="all integer, for NPUs and the fastest kernels",
    convert=_int8,
    arithmetic="int8",
    rank=0,
    default=True,
    calibrated=True,
    quantizer=Quantizer,
)


class TFLite:
    suffix = ".tflite"
    modules = ("ai_edge_litert", "ai_edge_quantizer", "flatbuffers")
    takes: Mapping[str, tuple[str, ...]] = {KERAS: ("tensorflow",), SAVED_MODEL: ("tensorflow",)}
    schemes: Mapping[str, Scheme] = {
        "float32": Scheme(summary="32-bit floats", convert=_float32, rank=3, default=True),
        "float16": Scheme(
            summary="weights as 16-bit floats, computed in 32 bits", convert=_float16, rank=2, default=True
        ),
        "dynamic-int8": Scheme(
            summary="8-bit weights, activations quantized as they come",
            convert=_dynamic_int8,
            arithmetic="int8",
            rank=1,
            default=True,
        ),
        "dynamic-int8-gpu": Scheme(
            summary="dynamic-int8 that GPUs compute rightly where 1x1 convolutions stride, as in a ResNet",
            convert=_dynamic_int8_gpu,
            arithmetic="int8",
            rank=1,
        ),
        "int8": _INT8,
        "int8-mixed": replace(
            _INT8,
            summary="int8 with the operators in float32 that 8 bits lose too much in",
            rank=1,
            default=False,
            mixed=True,
        ),
        "int16x8": Scheme(
            summary="8-bit weights, 16-bit activations: for accuracy, 10 to 50 times slower than int8",
            convert=_int16x8,
            arithmetic="int8",
            calibrated=True,
            most_samples=2000,
        ),
        "weight-int8": Scheme(
            summary="8-bit weights, computed in 32-bit floats", convert=_weight_int8, rank=4
        ),
        "weight-int4": Scheme(
            summary="4-bit weights, computed in 32-bit floats", convert=_weight_int4, calibrated=True
        ),
    }

    def export(self, network: Network, scheme: str, calibration: Images, path: Path) -> Conversion:
        return self.write(network, scheme, self.schemes[scheme].convert(network, calibration), path)

    def write(self, network: Network, scheme: str, converted: Converted, path: Path) -> Conversion:
        tree, chosen = converted
        tflite_tree.shorten_names(tree)
        path.write_bytes(tflite_tree.write(tree))
        version = versions("tensorflow")["tensorflow"]
        tool = f"tf.lite.TFLiteConverter {version}"
        unfit = gpu.unfit(tree)
        if unfit and scheme == "dynamic-int8":
            unfit += "; dynamic-int8-gpu is written otherwise"
        return Conversion(tool=tool, chosen=chosen, not_for_gpu=unfit)

    def weights(self, path: Path) -> Weights:
        return tflite_tree.kernels(tflite_tree.read(path.read_bytes()))

    def attach(self, path: Path, contract: ModelContract) -> None:
        path.write_bytes(stamp(tflite_metadata.embed(path.read_bytes(), contract)))


FORMAT = TFLite()
