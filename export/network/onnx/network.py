"""An ONNX file of any origin as formats see it: raw pixels in front, its own graph, scores behind."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.network.float_network import INPUT, OUTPUT, FloatNetwork
from edgewright.export.network.model import ONE_IMAGE, Facts, FileInterface, Model
from edgewright.export.network.onnx import graphs, rewriting
from edgewright.export.network.onnx.head import head
from edgewright.export.network.onnx.layout import layout
from edgewright.export.network.onnx.reading import read
from edgewright.runtime.backends import Scores
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images

_INSIDE = "network/"  # in front of the file's own names


class OnnxNetwork(FloatNetwork):
    """The reference is the file's own graph, as it lies there, run by onnxruntime."""

    def __init__(self, model: Model, interface: FileInterface = ONE_IMAGE) -> None:
        """Raises `ExportError`: the file is damaged, cannot be run, or is no float image classifier."""
        import onnx

        self._file = read(model)
        self._layout = layout(self._file, model)
        super().__init__(self._layout.shape, model.normalization, interface)
        if self._layout.batch not in (None, interface.batch):
            asked = "any number" if interface.batch is None else interface.batch
            raise ExportError(
                f"expected --batch {self._layout.batch} with {model.path}, which takes so many images at "
                f"once, got {asked}; or save it with a free batch size"
            )
        self.ir_version = self._file.model.ir_version
        self._dtype = onnx.helper.tensor_dtype_to_np_dtype(self._file.dtype)
        self._whole_numbers = np.issubdtype(self._dtype, np.integer)
        exact = {*model.normalization.factor, *(1 - o for o in model.normalization.offset)} == {1.0}
        if self._dtype.kind not in "fiu" and self._dtype.name != "bfloat16":
            raise ExportError(f"expected an image of numbers, got '{self._file.input}' of {self._dtype}")
        if self._whole_numbers and (not exact or np.iinfo(self._dtype).max < 255):
            raise ExportError(
                f"expected --input-range 0..255 with '{self._file.input}' of {self._dtype}, got another; "
                "whole numbers hold no scaled pixels"
            )

    def facts(self) -> Facts:
        file, count, shape = self._file, self._layout.batch or 2, self._scores_shape
        kind = head(file.model.graph, file.value)
        classes = max(shape[1:], default=1)
        if shape[:1] != (count,) or int(np.prod(shape[1:])) != classes:
            raise ExportError(
                f"expected a row of scores an image, (batch, scores), got {shape} of {count} images from "
                f"'{file.output}'; a network that finds things in pictures, or has no pooling at its end, "
                "cannot be exported"
            )
        if classes == 1 and kind == "softmax":
            raise ExportError(
                f"expected at least two scores of a softmax, got one from '{file.output}', which is 1 for "
                "every image"
            )
        if classes == 1 and kind == "logits":
            kind = "sigmoid-logits"
        return Facts(shape=self.shape, classes=classes, head=kind, input=file.input, output=file.output)

    @cached_property
    def _scores_shape(self) -> tuple[int, ...]:
        """Of the batch it takes, or of two images."""
        count = self._layout.batch or 2
        noise = np.random.default_rng(0).integers(0, 256, (count, *self.shape), np.uint8)
        return self._run(noise).shape

    @cached_property
    def _session(self) -> Any:
        import onnx
        import onnxruntime

        model = onnx.ModelProto.FromString(self._file.model.SerializeToString())
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(self._file.value))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors come as exceptions; nothing is printed
        try:
            return onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as failure:  # onnxruntime's own exceptions share no public base class
            raise ExportError(f"onnxruntime cannot load the model: {self.blame(failure)}") from failure

    def _run(self, images: Images) -> NDArray[Any]:
        """What the file itself gives for raw pixels."""
        given = self._layout.arranged(self.normalization.apply(images)).astype(self._dtype)
        try:
            scores = self._session.run([self._file.value], {self._file.input: given})[0]
        except Exception as failure:  # as above
            raise ExportError(f"onnxruntime cannot run the model: {self.blame(failure)}") from failure
        if not isinstance(scores, np.ndarray) or scores.dtype.kind != "f":
            got = scores.dtype if isinstance(scores, np.ndarray) else type(scores).__name__
            raise ExportError(f"expected scores of floats from '{self._file.output}', got {got}")
        return scores

    def scores(self, images: Images) -> Scores:
        size = self._layout.batch or self.reference_batch
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size]
            filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            whole = filled if self._layout.batch else part
            parts.append(self._run(whole)[: len(part)].astype(np.float32).reshape(len(part), -1))
        return np.concatenate(parts)

    def blame(self, failure: Exception) -> str:
        return " ".join(str(failure).split())[:300] or type(failure).__name__

    @property
    def clustered(self) -> list[NDArray[np.float32]]:
        return []

    def to_onnx(self, opset: int) -> Any:
        """The file's own opset is kept where quantization can do with it."""
        import onnx
        from onnx import TensorProto, helper

        file = self._file
        model = onnx.ModelProto.FromString(file.model.SerializeToString())
        rewriting.as_float32(model.graph)
        model.graph.output.append(helper.make_empty_tensor_value_info(file.value))
        model = rewriting.upgraded(model)
        rewriting.spell_out_classifiers(model.graph)
        graph = model.graph
        graphs.prefix(graph, _INSIDE)
        inside, scores = _INSIDE + file.input, _INSIDE + file.value
        pixels, constants, front = self._front(inside)
        batch, classes = self.interface.batch or "batch", self.facts().classes
        back = helper.make_node("Identity", [scores], [OUTPUT])
        if len(self._scores_shape) != 2:
            constants["row_of_scores"] = np.array([-1, classes], np.int64)
            back = helper.make_node("Reshape", [scores, "row_of_scores"], [OUTPUT])
        nodes = [*front, *graph.node, back]
        wrapped = helper.make_graph(
            nodes,
            "edgewright",
            [helper.make_tensor_value_info(INPUT, pixels, [batch, *self.shape])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [batch, classes])],
            [*graph.initializer, *(onnx.numpy_helper.from_array(v, n) for n, v in constants.items())],
            sparse_initializer=graph.sparse_initializer,
        )
        return helper.make_model(wrapped, opset_imports=model.opset_import, ir_version=model.ir_version)

    def _front(self, inside: str) -> tuple[int, dict[str, NDArray[Any]], list[Any]]:
        """From raw pixels to the value `inside`: the dtype of pixels, constants by name, nodes."""
        from onnx import TensorProto, helper

        says, value = self.normalization, INPUT
        constants: dict[str, NDArray[Any]] = {}
        nodes: list[Any] = []

        def then(operator: str, *others: str, **attributes: Any) -> None:
            nonlocal value
            made = f"front_{len(nodes)}"
            nodes.append(helper.make_node(operator, [value, *others], [made], **attributes))
            value = made

        to = self._file.dtype if self._whole_numbers else TensorProto.FLOAT
        then("Cast", to=to)
        if says.bgr:
            constants["blue_first"] = np.array([2, 1, 0], np.int64)
            then("Gather", "blue_first", axis=3)
        for name, operator, numbers, nothing in (
            ("factor", "Mul", says.factor, 1.0),
            ("offset", "Add", says.offset, 0.0),
        ):
            if {*numbers} != {nothing}:
                constants[name] = np.array(numbers if len(numbers) > 1 else numbers[0], np.float32)
                then(operator, name)
        if self._layout.channels_first:
            then("Transpose", perm=[0, 3, 1, 2])
        elif self._layout.rest != self.shape:
            constants["row"] = np.array([0, *self._layout.rest], np.int64)
            then("Reshape", "row")
        nodes[-1].output[0] = inside
        dtype = TensorProto.UINT8 if self.interface.dtype == "uint8" else TensorProto.FLOAT
        return dtype, constants, nodes
