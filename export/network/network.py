"""A Keras model or SavedModel as formats see it. Lives in the child process that has TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgewright.export.network.float_network import INPUT, OUTPUT, FloatNetwork
from edgewright.export.network.handlers import HANDLERS
from edgewright.export.network.loading import load
from edgewright.export.network.model import ONE_IMAGE, Facts, FileInterface, Model
from edgewright.export.network.traced import TracedGraph
from edgewright.export.weights import codebooks
from edgewright.runtime.backends import Scores
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images


class Network(FloatNetwork):
    onnx_tools = ("tf2onnx",)

    def __init__(self, model: Model, interface: FileInterface = ONE_IMAGE) -> None:
        self._loaded = load(model)
        super().__init__(self._loaded.shape, model.normalization, interface)
        if self._loaded.batch not in (None, interface.batch):
            raise ExportError(
                "expected --batch 1 with a SavedModel whose signature takes one image, got another; "
                "save it with a free batch size"
            )
        self.fake_quantized = model.fake_quantized
        linear = self.normalization.linear_range
        self.input_range = linear or (0.0, 255.0)
        self._uniform = linear is not None

    def facts(self) -> Facts:
        """What the network turned out to be.

        Raises:
            ExportError: it does not give an image a row of scores, or it computes with text.
        """
        self.graph.refuse_strings()
        head = self.graph.head()
        shape = self.on_scaled.get_concrete_function().structured_outputs[OUTPUT].shape
        if shape.rank != 2 or shape[1] is None:
            pooled = " (without its top it wants global pooling)" if shape.rank == 4 else ""
            raise ExportError(
                f"expected a row of scores an image, (batch, scores), got {tuple(shape)} "
                f"from '{self._loaded.output}'{pooled}"
            )
        if shape[1] == 1 and head == "softmax":
            raise ExportError(
                f"expected at least two scores of a softmax, got one from '{self._loaded.output}', which is "
                "1 for every image"
            )
        if shape[1] == 1 and head == "logits":
            head = "sigmoid-logits"
        return Facts(
            shape=self.shape,
            classes=shape[1],
            head=head,
            input=self._loaded.input,
            output=self._loaded.output,
            lets_through=self._loaded.lets_through,
        )

    @cached_property
    def graph(self) -> TracedGraph:
        return TracedGraph(self.on_scaled, self._loaded.layers)

    @cached_property
    def without_loops(self) -> Self:
        """The same network with its recurrent layers written out step by step; itself, if none loops.

        Raises:
            ExportError: it has too many steps for that, or a loop that is no recurrent layer's.
        """
        if not self.graph.loops():
            return self
        network = object.__new__(type(self))
        kept = {key: value for key, value in vars(self).items() if not hasattr(type(self), key)}
        vars(network).update(kept, _loaded=dataclasses.replace(self._loaded, call=self._loaded.unrolled))
        if network.graph.loops():
            raise ExportError(
                f"expected a network without loops, which this scheme cannot calibrate, got one "
                f"{network.graph.loops()}; take a scheme without calibration"
            )
        return network

    def scaled(self, images: Images) -> NDArray[np.float32]:
        """Raw pixels as `on_scaled` takes them: 0 and 255 are the ends of `input_range`."""
        return self.normalization.apply(images) if self._uniform else images.astype(np.float32)

    def scores(self, images: Images) -> Scores:
        """The reference: float32 scores `(n, classes)` of raw uint8 pixels `(n, height, width, channels)`."""
        import tensorflow as tf

        call = tf.function(self._loaded.call, reduce_retracing=True)
        batch = self._loaded.batch or self.reference_batch
        parts = (images[i : i + batch] for i in range(0, len(images), batch))
        return np.concatenate([call(self.normalization.apply(part)).numpy() for part in parts])

    def to_onnx(self, opset: int) -> Any:
        import onnx
        import tf2onnx

        try:
            function = self.without_loops.on_pixels  # quantizing needs it so
        except ExportError:
            function = self.on_pixels
        model, _ = tf2onnx.convert.from_function(
            function, input_signature=function.input_signature, opset=opset, custom_op_handlers=HANDLERS
        )
        _close_in(model.graph, function.get_concrete_function().graph.captures)
        onnx.checker.check_model(model)  # before time is spent on a node of no name that ONNX knows
        return model

    def blame(self, failure: Exception) -> str:
        return self.graph.blame(failure)

    @cached_property
    def holder(self) -> Any:
        """A tf.Module that keeps the variables alive for the converter."""
        import tensorflow as tf

        module = tf.Module()
        module.held = self._loaded.held
        return module

    @cached_property
    def clustered(self) -> list[NDArray[np.float32]]:
        """None of a SavedModel."""
        return codebooks.clustered(variable.numpy() for variable in self.holder.variables)

    @cached_property
    def on_pixels(self) -> Any:
        """tf.function of raw pixels as a file takes them, (batch, height, width, channels); scales inside."""
        import tensorflow as tf

        factor, offset = (
            np.array(values if len(set(values)) > 1 else values[0], np.float32)
            for values in (self.normalization.factor, self.normalization.offset)
        )

        def call(image: Any) -> dict[str, Any]:
            x = tf.cast(image, tf.float32)
            if self.normalization.bgr:
                x = tf.gather(x, [2, 1, 0], axis=-1)
            x = x * factor
            with _inlined():
                return {OUTPUT: self._loaded.call(x + offset if offset.any() else x)}

        return tf.function(call, input_signature=[self._signature(self.interface.dtype)])

    @cached_property
    def on_scaled(self) -> Any:
        """tf.function for an integer file, whose input's quantization does the scaling: float32
        (batch, height, width, channels) within `input_range`.

        What one scale and zero point cannot say (a mean and std a channel, BGR) is a 1x1 convolution
        in front: one integer op, whose 8-bit weights are exact, as each channel has one. Measured on
        eight small trained networks, tie-aware agreement of int8 with float: .9928 so and with MUL and
        ADD instead, .9896 with SUB and MUL; on the four whose first layer does not pad, so that all
        could be folded into its weights, .9934 so and .9891 folded.
        """
        import tensorflow as tf

        def call(image: Any) -> dict[str, Any]:
            with _inlined():
                return {OUTPUT: self._loaded.call(image if self._uniform else self._convolved(image))}

        return tf.function(call, input_signature=[self._signature("float32")])

    def _convolved(self, image: Any) -> Any:
        import tensorflow as tf

        channels = self.shape[2]
        order = np.eye(channels)[:, ::-1] if self.normalization.bgr else np.eye(channels)
        kernel = (order * np.array(self.normalization.factor)).astype(np.float32)
        offset = np.broadcast_to(np.array(self.normalization.offset, np.float32), channels)
        return tf.nn.conv2d(image, kernel[np.newaxis, np.newaxis], 1, "VALID") + offset

    def _signature(self, dtype: str) -> Any:
        import tensorflow as tf

        return tf.TensorSpec((self.interface.batch, *self.shape), dtype, name=INPUT)


@contextlib.contextmanager
def _inlined() -> Iterator[None]:
    """What is traced in the block holds the ops of functions that it calls, and no calls of them.

    Keras has XLA compile convolutions in groups, which TensorFlow's own kernels cannot compute; tf2onnx does
    not look into such a call.
    """
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _close_in(graph: Any, captured: Any) -> None:
    """Make constants of the inputs that are none: tensors the traced function had captured.

    tf2onnx leaves what a Keras layer holds as a plain tensor (Normalization's mean) an input that a
    runtime would ask for.

    Args:
        graph: the model's graph, changed in place.
        captured: `(value, placeholder)` pairs, as a traced function's graph lists them.
    """
    from onnx import numpy_helper

    values = {placeholder.name: value for value, placeholder in captured}
    for given in [given for given in graph.input if given.name != INPUT]:
        graph.initializer.append(numpy_helper.from_array(values[given.name].numpy(), given.name))
        graph.input.remove(given)
