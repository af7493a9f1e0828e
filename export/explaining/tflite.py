"""TFLite files, seen from inside: by XNNPACK's kernels and by LiteRT's reference kernels.

What a delegate keeps to itself cannot be read. So what is to be seen is made an output of the graph, which
every kernel has to give.
"""

from __future__ import annotations

import copy
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
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.tree import Operator
from edgewright.runtime.errors import ModelFileError

XNNPACK, REFERENCE = "xnnpack", "reference"
_FLOAT32, _INT32, _INTEGERS = 0, 2, {3: "u1", 7: "i2", 9: "i1"}  # the numbers of the schema's TensorType


class TFLiteNetwork:
    """Raises `ModelFileError`: the file cannot be taken apart."""

    kernels: tuple[str, ...] = (XNNPACK, REFERENCE)
    channels_last = True

    def __init__(self, path: Path, raw: bytes, prepare: Prepare = np.asarray) -> None:
        self._path, self._raw, self._prepare = path, raw, prepare
        try:
            tree = tflite_tree.read(raw)
            self.steps: Sequence[Step] = _steps(tree)
            self.scores_grid = _grid(tree, int(tree.subgraphs[0].outputs[0]))
        except (KeyError, ValueError, IndexError, TypeError, AttributeError) as failure:
            raise ModelFileError(f"{path} cannot be taken apart: {failure}") from failure

    def whole(self, steps: Sequence[Step], kernels: str) -> Run:
        tree = self._tree()
        graph = tree.subgraphs[0]
        return self._run(tree, [*(step.value for step in steps), int(graph.outputs[0])], kernels)

    def cut(self, steps: Sequence[Step], kernels: str) -> Run:
        tree = self._tree()
        for step in steps:
            _read_instead(tree, step.value, _placeholder(tree, step.value))
        return self._run(tree, [step.value for step in steps], kernels, [step.value for step in steps])

    def disturbed(self, steps: Sequence[Step]) -> Run:
        from ai_edge_litert import schema_py_generated as schema

        tree = self._tree()
        graph = tree.subgraphs[0]
        code = schema.OperatorCodeT()
        code.builtinCode, code.version = schema.BuiltinOperator.ADD, 1
        tree.operatorCodes.append(code)
        for step in steps:
            error, summed = _placeholder(tree, step.value), _like(tree, step.value)
            _read_instead(tree, step.value, summed)
            add = schema.OperatorT()
            add.opcodeIndex = len(tree.operatorCodes) - 1
            add.inputs = np.array([step.value, error], np.int32)
            add.outputs = np.array([summed], np.int32)
            add.builtinOptionsType = schema.BuiltinOptions.AddOptions
            add.builtinOptions = schema.AddOptionsT()
            made = next(i for i, op in enumerate(graph.operators) if step.value in op.outputs)
            graph.operators.insert(made + 1, add)
            graph.outputs = np.where(graph.outputs == step.value, summed, graph.outputs)
        return self._run(tree, [int(graph.outputs[0])], XNNPACK, [step.value for step in steps])

    def _tree(self) -> Any:
        tree = tflite_tree.read(self._raw)
        tree.signatureDefs = tree.metadata = None
        tree.subgraphs[0].outputs = np.array(tree.subgraphs[0].outputs, np.int32)
        return tree

    def _run(self, tree: Any, wanted: Sequence[int], kernels: str, given: Sequence[int] = ()) -> Run:
        graph = tree.subgraphs[0]
        pixels = int(graph.inputs[0])
        added = [int(i) for i in graph.inputs[1:]]
        graph.outputs = np.array(list(dict.fromkeys(wanted)), np.int32)
        return _Interpreted(
            self._path, tflite_tree.write(tree), self._prepare, kernels, pixels, given, added, wanted
        )


class _Interpreted:
    """One interpreter; `given` are the steps' values and `added` the inputs that stand for them."""

    def __init__(
        self,
        path: Path,
        raw: bytes,
        prepare: Prepare,
        kernels: str,
        pixels: int,
        given: Sequence[int],
        added: Sequence[int],
        wanted: Sequence[int],
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        from edgewright.runtime.backends.litert.session import hushed

        how = OpResolverType.BUILTIN_REF if kernels == REFERENCE else OpResolverType.AUTO
        self._path, self._prepare, self._kernels = path, prepare, kernels
        self._pixels, self._wanted = pixels, wanted
        self._given = dict(zip(given, added, strict=True))
        try:
            with hushed():
                self._interpreter = Interpreter(
                    model_content=raw, num_threads=1, experimental_op_resolver_type=how
                )
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as failure:
            raise self._failed(failure) from failure
        self._shapes = {d["index"]: (d["shape"], d["dtype"]) for d in self._interpreter.get_input_details()}

    def __call__(self, pixels: Values, given: Mapping[Any, Values]) -> list[Values]:
        shape, dtype = self._shapes[self._pixels]
        try:
            given_pixels = np.repeat(self._prepare(pixels), shape[0], axis=0).astype(dtype)
            self._interpreter.set_tensor(self._pixels, given_pixels)
            for key, index in self._given.items():
                shape, dtype = self._shapes[index]
                value = given.get(key)
                self._interpreter.set_tensor(index, np.zeros(shape, dtype) if value is None else value)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index) for index in self._wanted]
        except (RuntimeError, ValueError) as failure:
            raise self._failed(failure) from failure

    def _failed(self, failure: Exception) -> ModelFileError:
        reason = " ".join(str(failure).split())
        return ModelFileError(f"LiteRT's {self._kernels} kernels cannot run {self._path}: {reason}")


def _steps(tree: Any) -> list[Step]:
    kernels = _kernels(tree)
    made = {index: op for op in tflite_tree.operators(tree) for index in op.outputs}
    found = []
    for place, op in enumerate(tflite_tree.operators(tree)):
        kind = kind_of(op.name)
        if not kind or not op.outputs or op.outputs[0] < 0:
            continue
        value = op.outputs[0]
        grid = _grid(tree, value)
        if grid is None and tree.subgraphs[0].tensors[value].type != _FLOAT32:
            continue  # places and sizes
        constants = [i for i in op.inputs[1:] if kind in LAYERS and tflite_tree.is_constant(tree, i)]
        found.append(
            Step(
                value=value,
                operator=op.name,
                kind=kind,
                label=f"{op.name}_{place}",
                names=tuple(tflite_tree.tensor_name(tree, i) for i in (*constants, value)),
                grid=grid,
                weights=kernels.get(op.inputs[1]) if kind in LAYERS and len(op.inputs) > 1 else None,
                misread=_misread(tree, op, made) if kind in LAYERS and len(op.inputs) > 2 else None,
            )
        )
    return found


def _misread(tree: Any, op: Operator, made: Mapping[int, Operator]) -> int | None:
    """What a layer reads, if that is of another scale than its bias is stored for: kernels take the bias's to
    be that of the input times that of the weights."""
    read, weights, bias = op.inputs[:3]
    if bias < 0 or tree.subgraphs[0].tensors[bias].type != _INT32:
        return None
    given, kernel, stored = (_scales(tree, index) for index in (read, weights, bias))
    if not (given.size == 1 and kernel.size and stored.size in (1, kernel.size)) or not stored.all():
        return None
    if not is_one_factor(given * kernel / stored):
        return None
    while (maker := made.get(read)) is not None and not kind_of(maker.name) and maker.inputs:
        read = maker.inputs[0]
    return read


def _scales(tree: Any, index: int) -> Floats:
    given = tree.subgraphs[0].tensors[index].quantization
    return np.zeros(0, np.float32) if given is None or given.scale is None else np.asarray(given.scale, "f4")


def _grid(tree: Any, index: int) -> Grid | None:
    dtype = _INTEGERS.get(tree.subgraphs[0].tensors[index].type)
    scale, zero_point = tflite_tree.quantization(tree, index)
    return Grid(dtype=np.dtype(dtype), scale=scale, zero_point=zero_point) if dtype and scale else None


def _kernels(tree: Any) -> dict[int, Floats]:
    """The constant kernels as floats, output channels first, by the index of the tensor that is read."""
    by_name = tflite_tree.kernels(tree)
    operators = tflite_tree.operators(tree)
    stored = {op.outputs[0]: op.inputs[0] for op in operators if op.name == "DEQUANTIZE"}
    found = {}
    for read in {op.inputs[1] for op in operators if len(op.inputs) > 1 and op.inputs[1] >= 0}:
        index = stored.get(read, read)
        array = by_name.get(tflite_tree.tensor_name(tree, index))
        if array is None:
            continue
        given = tree.subgraphs[0].tensors[index].quantization
        scales = np.ones(1) if given is None or given.scale is None else np.asarray(given.scale)
        if array.dtype.kind != "f" and len(scales) in (1, len(array)):
            array = array * scales.reshape(-1, *[1] * (array.ndim - 1))
        found[read] = array.astype(np.float32)
    return found


def _like(tree: Any, index: int) -> int:
    """A further tensor of the same shape and grid; gives its index."""
    tensors = tree.subgraphs[0].tensors
    new = copy.copy(tensors[index])
    new.name, new.buffer = f"edgewright:{len(tensors)}", 0
    tensors.append(new)
    return len(tensors) - 1


def _placeholder(tree: Any, index: int) -> int:
    """The same, as an input of the graph."""
    graph = tree.subgraphs[0]
    new = _like(tree, index)
    graph.inputs = np.append(np.asarray(graph.inputs, np.int32), np.int32(new))
    return new


def _read_instead(tree: Any, old: int, new: int) -> None:
    for op in tree.subgraphs[0].operators:
        op.inputs = np.where(np.asarray(op.inputs) == old, new, op.inputs).astype(np.int32)
