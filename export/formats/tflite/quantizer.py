"""Makes int8 .tflite files of one network again and again, with what a `Remedy` asks for.

TensorFlow's converter calibrates a float file and then quantizes it; both steps are taken here one by one,
so that between them weights can be equalized and ranges chosen, and single operators left in float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from edgewright.export.formats import Context, Operation, Remedy, refine
from edgewright.export.formats.tflite import run as tflite_run
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.equalization import equalize
from edgewright.export.formats.tflite.refine import biases, codebooks, gpu, logits, rounding
from edgewright.export.network.network import Network
from edgewright.export.weights import ranges
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images

# What an int8 file goes through, in this order, by its key in the manifest; they know the float32 file as its
# bytes and its tree.
REFINEMENTS = {
    "codebooks": codebooks.refine,
    "biases": biases.refine,
    "logits": logits.refine,
    "gpu": gpu.refine,
}
ROUNDED = {"rounding": rounding.refine, **REFINEMENTS}
TRAINED = {"gpu": gpu.refine}  # what a file with the ranges of training goes through
RAW_PIXELS = "raw pixels, scaled inside the file"
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_SAME_SCALE = ("MAX_POOL_2D", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "PAD")
_MOVES = (*_SAME_SCALE, "AVERAGE_POOL_2D", "MEAN")


def static_choices(*, pixels: bool, ranges: str) -> dict[str, str]:
    """What is chosen for every static int8 file; `pixels`: its input is their quantization."""
    return {
        "input": "uint8 pixels by the input's own quantization" if pixels else RAW_PIXELS,
        "weights": "int8 per channel",
        "activations": f"int8 per tensor, {ranges}",
    }


def check_input(tree: Any, input_range: tuple[float, float]) -> None:
    """See that the input's quantization reads raw pixels as the network wants them."""
    scale, zero_point = tflite_tree.quantization(tree, tree.subgraphs[0].inputs[0])
    if not scale:  # floats come in; the first operator makes int8 of them
        scale, zero_point = tflite_tree.quantization(tree, tflite_tree.operators(tree)[0].outputs[0])
        zero_point += 128
    low, high = input_range
    if (
        not math.isclose(scale, (high - low) / 255, rel_tol=1e-5)
        or abs(low + zero_point * scale) > scale / 2 * 1.01
    ):
        raise ExportError(
            f"expected the int8 input to take pixels 0-255 for {low:g} to {high:g}, "
            f"got scale {scale:.6g} and zero point {zero_point}"
        )


class Quantizer:
    """See `edgewright.export.formats.Quantizer`."""

    def __init__(self, network: Network, calibration: Images) -> None:
        self._network, self._images = network.without_loops, calibration
        self._pixels = network.interface.dtype == "uint8"

    def model(self, remedy: Remedy, *, refined: bool = True) -> tuple[Any, dict[str, Any]]:
        """The int8 file as a tree, and what refining it did."""
        import tensorflow as tf
        from tensorflow.lite.python import convert

        dtype = tf.as_dtype(self._network.interface.dtype)
        calibrated = self._ranged(remedy.equalized) if remedy.ranges else self._calibrated(remedy.equalized)
        raw = convert.mlir_quantize(
            calibrated,
            input_data_type=dtype,
            output_data_type=dtype,
            denylisted_nodes={*remedy.free} or None,
        )
        tree = tflite_tree.read(bytes(raw))
        found = "ranges of least squared error over" if remedy.ranges else "ranges from"
        chosen = static_choices(pixels=self._pixels, ranges=f"{found} the calibration images")
        check_input(tree, self._network.input_range if self._pixels else (0.0, 255.0))
        if not refined:
            return tree, chosen
        float32 = self._float32(remedy.equalized)
        context = Context(
            network=self._network,
            float32=(float32, tflite_tree.read(float32)),
            calibration=self._images,
            scaled=self._scaled(self._images),
        )
        return tree, chosen | refine(tree, ROUNDED if remedy.rounded else REFINEMENTS, context)

    @cached_property
    def operations(self) -> list[Operation]:
        tree = tflite_tree.read(self._converted)
        order = tflite_tree.operators(tree)
        return [
            Operation(
                name=tflite_tree.tensor_name(tree, op.outputs[0]),
                kind=op.name,
                products=self._products(tree, op) if op.name in _LAYERS else 0,
                moves=op.name in _MOVES,
                reads=tuple(str(i) for i in op.inputs if i >= 0 and not tflite_tree.is_constant(tree, i)),
                writes=tuple(str(i) for i in op.outputs),
            )
            for op in order
        ]

    @staticmethod
    def _products(tree: Any, op: tflite_tree.Operator) -> int:
        kernel, out = (
            [int(n) for n in tree.subgraphs[0].tensors[i].shape] for i in (op.inputs[1], op.outputs[0])
        )
        channels = kernel[-1] if op.name == "DEPTHWISE_CONV_2D" else kernel[0]
        return math.prod(out[1:]) * math.prod(kernel) // max(channels, 1)

    def _given(self) -> Iterator[list[Any]]:
        for batch in self._network.calibrating(self._images):
            yield [self._scaled(batch)]

    def _scaled(self, images: Images) -> Any:
        return self._network.scaled(images) if self._pixels else images

    @cached_property
    def _converted(self) -> bytes:
        """A float file that says a range of each tensor, by TensorFlow's own calibration."""
        import tensorflow as tf

        network = self._network
        function = network.on_scaled if self._pixels else network.on_pixels
        concrete = [function.get_concrete_function()]
        converter = tf.lite.TFLiteConverter.from_concrete_functions(concrete, network.holder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = self._given
        converter._experimental_calibrate_only = True
        return bytes(converter.convert())

    def _tree(self, equalized: bool) -> Any:
        tree = tflite_tree.read(self._converted)
        if equalized:
            equalize(tree)
        return tree

    @lru_cache(maxsize=2)  # noqa: B019  (it lives as long as a conversion)
    def _float32(self, equalized: bool) -> bytes:
        """The float file without ranges."""
        tree = self._tree(equalized)
        for tensor in tree.subgraphs[0].tensors:
            tensor.quantization = None
        return tflite_tree.write(tree)

    @lru_cache(maxsize=2)  # noqa: B019
    def _calibrated(self, equalized: bool) -> bytes:
        """The float file with the range of each tensor.

        They are measured here, where each tensor has a place of its own. TensorFlow's calibrator looks once
        all has run: a MUL that writes over what it reads gives that its own range.
        """
        tree = self._tree(equalized)
        held = {
            index: tensor.quantization
            for index, tensor in enumerate(tree.subgraphs[0].tensors)
            if tensor.quantization is not None and tensor.quantization.min is not None
        }
        ends = {index: [np.inf, -np.inf] for index in held}
        spanning = np.concatenate([*self._network.calibrating(self._images)])
        for batch in tflite_run.tensors(self._float32(equalized), [*held], self._scaled(spanning)):
            for seen, values in zip(ends.values(), batch, strict=True):
                seen[:] = min(seen[0], float(values.min())), max(seen[1], float(values.max()))
        for index, (low, high) in ends.items():
            held[index].min, held[index].max = np.array([low], np.float32), np.array([high], np.float32)
        return tflite_tree.write(tree)

    @lru_cache(maxsize=2)  # noqa: B019
    def _ranged(self, equalized: bool) -> bytes:
        """`_calibrated` with the ranges of least squared error, but for the input and what is made of scores;
        what moves numbers keeps those it is given."""
        tree = tflite_tree.read(self._calibrated(equalized))
        tensors, order = tree.subgraphs[0].tensors, tflite_tree.operators(tree)
        ends = {int(index) for index in (*tree.subgraphs[0].inputs, *tree.subgraphs[0].outputs)}
        wanted = [
            index
            for op in order
            for index in op.outputs
            if op.name not in _SAME_SCALE and index not in ends and tensors[index].quantization is not None
        ]
        wanted = [index for index in wanted if tensors[index].quantization.min is not None]
        held = {index: tensors[index].quantization for index in wanted}
        seen = {index: np.zeros(ranges.BINS, np.int64) for index in wanted}
        images = self._scaled(ranges.sample(self._images))
        for batch in tflite_run.tensors(self._float32(equalized), wanted, images):
            for index, values in zip(wanted, batch, strict=True):
                seen[index] += ranges.counted(values, float(held[index].min[0]), float(held[index].max[0]))
        for index in wanted:
            low, high = float(held[index].min[0]), float(held[index].max[0])
            low, high = ranges.least_squares(seen[index], low, high)
            held[index].min, held[index].max = np.array([low], np.float32), np.array([high], np.float32)
        for op in order:  # what moves numbers has the range of what it is given
            if (
                op.name in _MOVES
                and op.outputs[0] not in ends
                and (given := tensors[op.inputs[0]].quantization)
            ):
                tensors[op.outputs[0]].quantization = given
        return tflite_tree.write(tree)
