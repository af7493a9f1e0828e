"""ONNX files, seen from inside: what is to be seen is made an output of the graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.export.explaining.graphs import (
    LAYERS,
    Floats,
    Grid,
    Prepare,
    Run,
    Step,
    Values,
    is_one_factor,
    kind_of,
)
from edgewright.export.network.onnx import graphs
from edgewright.runtime.backends.ort.session import EXACT_PRODUCTS, OnnxSession
from edgewright.runtime.errors import ModelFileError

_RECTIFIERS = ("Relu", "Clip")
_QUANTIZED = ("MatMulInteger", "ConvInteger")
_DTYPES = {  # as onnxruntime calls types
    "tensor(float)": "f4",
    "tensor(float16)": "f2",
    "tensor(double)": "f8",
    **{f"tensor({sign}int{bits})": f"{sign or 'i'}{bits // 8}" for sign in ("", "u") for bits in (8, 16)},
}
_GIVEN = "edgewright:given:"


class OnnxNetwork:
    """Raises `ModelFileError`: the file cannot be taken apart."""

    kernels: tuple[str, ...] = (OnnxSession.kernels,)
    channels_last = False
    scores_grid: Grid | None = None  # they are floats

    def __init__(self, path: Path, raw: bytes, prepare: Prepare = np.asarray) -> None:
        self._path, self._raw, self._prepare = path, raw, prepare
        try:
            model = self._model()
            self._pixels = _inputs(model.graph)[0]
            self._scores = model.graph.output[0].name
            self.steps: Sequence[Step] = _steps(model.graph)
        except (KeyError, ValueError, IndexError, TypeError) as failure:
            raise ModelFileError(f"{path} cannot be taken apart: {failure}") from failure

    def whole(self, steps: Sequence[Step], kernels: str) -> Run:
        return self._run(self._model(), [*(step.value for step in steps), self._scores])

    def cut(self, steps: Sequence[Step], kernels: str) -> Run:
        model = self._model()
        for step in steps:
            self._give(model.graph, step)
            _read_instead(model.graph, step.value, _GIVEN + step.value)
        values = [step.value for step in steps]
        return self._run(model, values, {value: _GIVEN + value for value in values})

    def disturbed(self, steps: Sequence[Step]) -> Run:
        from onnx import helper

        model = self._model()
        graph, scores = model.graph, self._scores
        for step in steps:
            self._give(graph, step)
            summed = f"edgewright:sum:{step.value}"
            _read_instead(graph, step.value, summed)
            made = next(i for i, node in enumerate(graph.node) if step.value in node.output)
            graph.node.insert(made + 1, helper.make_node("Add", [step.value, _GIVEN + step.value], [summed]))
            scores = summed if step.value == scores else scores
        return self._run(model, [scores], {step.value: _GIVEN + step.value for step in steps})

    def _model(self) -> Any:
        import onnx

        return onnx.load_from_string(self._raw)

    def _give(self, graph: Any, step: Step) -> None:
        from onnx import helper

        dtype = np.dtype(step.dtype) if step.grid is None else step.grid.dtype
        kind = helper.np_dtype_to_tensor_dtype(dtype)
        graph.input.append(helper.make_tensor_value_info(_GIVEN + step.value, kind, None))

    def _run(self, model: Any, wanted: Sequence[str], given: Mapping[str, str] | None = None) -> Run:
        return _Session(self._path, model, self._prepare, self._pixels, wanted, given or {})


class _Session:
    """One session; `given` are the names of the inputs that stand for steps, by their values."""

    def __init__(
        self,
        path: Path,
        model: Any,
        prepare: Prepare,
        pixels: str,
        wanted: Sequence[str],
        given: Mapping[str, str],
    ) -> None:
        import onnxruntime
        from onnx import helper

        del model.graph.output[:]
        model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(wanted))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry(*EXACT_PRODUCTS)
        self._path, self._wanted, self._given = path, list(wanted), given
        self._pixels, self._prepare = pixels, prepare
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as failure:  # onnxruntime's own exceptions share no public base class
            raise self._failed(failure) from failure
        types = {value.name: value.type for value in self._session.get_inputs()}
        self._dtypes = {name: _DTYPES.get(kind, "f4") for name, kind in types.items()}
        first = next(value for value in self._session.get_inputs() if value.name == pixels)
        self._batch = first.shape[0] if isinstance(first.shape[0], int) else 1

    def __call__(self, pixels: Values, given: Mapping[Any, Values]) -> list[Values]:
        feed = {
            self._pixels: np.repeat(self._prepare(pixels), self._batch, axis=0).astype(
                self._dtypes[self._pixels]
            )
        }
        for value, name in self._given.items():
            feed[name] = np.asarray(given.get(value, np.zeros(1))).astype(self._dtypes[name], copy=False)
        try:
            return [np.asarray(value) for value in self._session.run(self._wanted, feed)]
        except Exception as failure:
            raise self._failed(failure) from failure

    def _failed(self, failure: Exception) -> ModelFileError:
        reason = " ".join(str(failure).split())
        return ModelFileError(f"onnxruntime cannot run {self._path}: {reason}")


def _inputs(graph: Any) -> list[str]:
    constants = {constant.name for constant in graph.initializer}
    return [value.name for value in graph.input if value.name not in constants]


def _steps(graph: Any) -> list[Step]:
    from onnx import numpy_helper

    constants = {constant.name: constant for constant in graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for value in graphs.read_by(node):
            readers.setdefault(value, []).append(node)
    ends = {value.name for value in graph.output}
    made = {node.output[0]: node for node in graph.node if node.output}
    vectors = {name for name, constant in constants.items() if math.prod(constant.dims) > 1}
    fixed = {*constants}  # what is computed of constants alone too
    for node in graph.node:
        if node.input and fixed.issuperset(value for value in node.input if value):
            fixed.update(node.output)
    found, taken = [], set[str]()

    def only_reader(value: str) -> Any | None:
        behind = readers.get(value, [])
        return behind[0] if len(behind) == 1 and value not in ends else None

    def number(name: str) -> Any:
        return numpy_helper.to_array(constants[name])

    for node in graph.node:
        kind = kind_of(node.op_type)
        if not kind or node.output[0] in taken or node.output[0] in fixed or _is_shape(node, made):
            continue
        value, names = node.output[0], [node.name]
        own_bias = len(node.input) > 2
        while (behind := only_reader(value)) is not None:
            passed = []
            if behind.op_type == "Transpose" and (further := only_reader(behind.output[0])) is not None:
                passed, behind = [behind], further
            if not _is_fused(node, behind, vectors, fixed, own_bias=own_bias):
                break
            own_bias = behind.op_type == "Add" or (own_bias and behind.op_type != "Mul")
            for each in (*passed, behind):
                value = each.output[0]
                taken.add(value)
                names.append(each.name)
            if behind.op_type in _RECTIFIERS:
                break
        grid = None
        quantize = only_reader(value)
        if (
            quantize is not None
            and quantize.op_type == "QuantizeLinear"
            and quantize.input[0] == value
            and len(quantize.input) > 2
            and {*quantize.input[1:3]} <= constants.keys()
            and number(quantize.input[1]).size == 1
        ):
            zero_point = number(quantize.input[2])
            scale = float(number(quantize.input[1]).reshape(-1)[0])
            grid = Grid(dtype=zero_point.dtype, scale=scale, zero_point=int(zero_point.reshape(-1)[0]))
            value = quantize.output[0]
        found.append(
            Step(
                value=value,
                operator=node.op_type,
                kind=kind,
                label=node.name or f"{node.op_type}:{value}",
                names=tuple(name for name in names if name),
                grid=grid,
                weights=_weights(node, made, constants) if kind in LAYERS else None,
                misread=_misread(node, made, constants),
            )
        )
    return found


def _misread(node: Any, made: Mapping[str, Any], constants: Mapping[str, Any]) -> str | None:
    """What a node reads with another scale or zero point than it was written with, or than its bias is stored
    for, which a kernel takes to be that of the input times that of the weights."""
    from onnx import numpy_helper

    def steps(name: str) -> list[Values] | None:
        """Scale and zero point that a value is read with."""
        reader = made.get(name)
        if (
            reader is None
            or reader.op_type != "DequantizeLinear"
            or not {*reader.input[1:]} <= constants.keys()
        ):
            return None
        return [np.asarray(numpy_helper.to_array(constants[each])) for each in reader.input[1:]]

    for name in node.input:
        read = steps(name)
        written = made.get(made[name].input[0]) if read is not None else None
        if read is None or written is None or written.op_type != "QuantizeLinear":
            continue
        if not {*written.input[1:]} <= constants.keys():
            continue
        told = [np.asarray(numpy_helper.to_array(constants[each])) for each in written.input[1:]]
        if len(told) != len(read) or any(not np.array_equal(a, b) for a, b in zip(told, read, strict=True)):
            return str(written.output[0])
    if kind_of(node.op_type) in LAYERS and len(node.input) > 2:
        given, kernel, bias = (steps(name) for name in node.input[:3])
        if given is not None and kernel is not None and bias is not None and bias[0].all():
            ratios = given[0] * kernel[0] / bias[0]
            if is_one_factor(np.atleast_1d(ratios)):
                return str(made[node.input[0]].input[0])
    return None


def _is_fused(first: Any, node: Any, vectors: set[str], fixed: set[str], *, own_bias: bool) -> bool:
    """Whether a node belongs to the step that `first` began: its bias unless it has one, a normalization
    that was not folded into it, its activation function, what makes floats of the sums of a dynamic one.
    `vectors` are constants of more than one number: what has one for each channel, as a normalization and
    unlike an activation function."""
    if node.op_type in _RECTIFIERS:
        return True
    constant = sum(value in fixed for value in node.input) == len(node.input) - 1
    if first.op_type in _QUANTIZED and (node.op_type == "Cast" or (node.op_type == "Mul" and not constant)):
        return True
    affine = node.op_type == "Mul" or (node.op_type == "Add" and not own_bias)
    return affine and constant and kind_of(first.op_type) in LAYERS and not vectors.isdisjoint(node.input)


def _is_shape(node: Any, made: Mapping[str, Any]) -> bool:
    """Whether a node computes with shapes, not with values."""
    seen = [node]
    for _ in range(4):
        seen = [made[value] for each in seen for value in each.input if value in made]
        if any(each.op_type in ("Shape", "Size") for each in seen):
            return True
    return False


def _weights(node: Any, made: Mapping[str, Any], constants: Mapping[str, Any]) -> Floats | None:
    """The kernel as floats; None where it is computed."""
    from onnx import numpy_helper

    def array(name: str) -> Values:
        return np.asarray(numpy_helper.to_array(constants[name]))

    name = node.input[1] if len(node.input) > 1 else ""
    if name in constants:
        stored = array(name)
        return stored.astype(np.float32) if stored.dtype.kind in "fiu" else None
    reader = made.get(name)
    if reader is None or reader.op_type != "DequantizeLinear" or not {*reader.input} <= constants.keys():
        return None
    stored, scale = array(reader.input[0]).astype(np.float32), array(reader.input[1]).astype(np.float32)
    zero_point: Values = array(reader.input[2]).astype(np.float32) if len(reader.input) > 2 else np.zeros(())
    axis = next((a.i for a in reader.attribute if a.name == "axis"), 1)
    if scale.ndim == 1 and scale.size > 1 and stored.shape[axis] == scale.size:
        shape = [1] * stored.ndim
        shape[axis] = -1
        scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    elif scale.size > 1:
        return None
    floats: Floats = (stored - zero_point) * scale
    return floats


def _read_instead(graph: Any, old: str, new: str) -> None:
    for part in graphs.everywhere(graph):
        for node in part.node:
            node.input[:] = [new if value == old else value for value in node.input]
