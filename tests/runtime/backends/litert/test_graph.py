"""The graph of .tflite files: as LiteRT's own schema reads it, and damage is called so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema

from edgewright.export.exporter import Result
from edgewright.runtime.backends import DamagedError
from edgewright.runtime.backends.litert import BACKEND
from edgewright.runtime.backends.litert import graph as tflite_graph
from edgewright.runtime.backends.litert.schema import DTYPES
from edgewright.runtime.backends.litert.session import places_undelegated

LITE = [f"tflite-{scheme}" for scheme in ("float32", "float16", "dynamic-int8", "int8")]
MACS = 28 * 28 * 256 + 256 * 10


@pytest.fixture(params=LITE)
def path(request: pytest.FixtureRequest, exported: tuple[Path, Result]) -> Path:
    return exported[0] / f"{request.param}.tflite"


def test_tflite_operator_and_dtype_numbers_are_the_schemas() -> None:
    def names(kind: Any) -> dict[int, str]:
        return {number: name for name, number in vars(kind).items() if isinstance(number, int)}

    assert dict(enumerate(tflite_graph.OPERATORS)) == names(schema.BuiltinOperator)
    assert {number: name.upper() for number, name in DTYPES.items()} == names(schema.TensorType)


def test_tflite_graph_macs_constants_and_shapes_are_those_of_the_network(path: Path) -> None:
    graph = tflite_graph.read(path.read_bytes())
    assert graph.macs() == (MACS, 0)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(path.read_bytes())))
    expected = model.subgraphs[0]
    assert [t.shape for t in graph.tensors.values()] == [tuple(t.shape) for t in expected.tensors]
    assert [t.name for t in graph.tensors.values()] == [t.name.decode() for t in expected.tensors]
    assert [n.inputs for n in graph.nodes] == [tuple(o.inputs) for o in expected.operators]
    width = {"tflite-float32": 4, "tflite-float16": 2}.get(path.stem, 1)
    assert max(t.stored_bytes or 0 for t in graph.constants()) == 28 * 28 * 256 * width


def test_tflite_graph_peak_bytes_are_those_of_the_largest_pair_of_activations(
    exported: tuple[Path, Result],
) -> None:
    peaks = {
        name: tflite_graph.read((exported[0] / f"{name}.tflite").read_bytes()).peak_bytes() for name in LITE
    }
    assert peaks["tflite-int8"] == 2 * 784
    assert peaks["tflite-float32"] == peaks["tflite-float16"] == 2 * 4 * 784


def test_tflite_graph_says_the_quantization_of_each_tensor(exported: tuple[Path, Result]) -> None:
    graph = tflite_graph.read((exported[0] / "tflite-int8.tflite").read_bytes())
    weights = next(t for t in graph.constants() if t.shape == (256, 784))
    assert weights.quantization.startswith("per channel (axis 0): 256 scales ")
    assert graph.tensors[graph.inputs[0]].quantization == "scale 0.00392157, zero point 0"


def test_undelegated_kernels_that_xnnpack_leaves_are_those_that_the_interpreter_left(path: Path) -> None:
    file = BACKEND.read(path)
    left = BACKEND.undelegated(file)
    assert left is not None
    operators = [tflite_graph.read(file.raw).nodes[place].operator for place in left]
    assert "FULLY_CONNECTED" not in operators
    assert len(operators) < 5


def test_undelegated_tells_several_delegated_parts_apart() -> None:
    def op(name: str, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
        return {"op_name": name, "inputs": inputs, "outputs": outputs}

    chain = [
        op("A", [0], [1]),
        op("B", [1, 9], [2]),
        op("C", [2], [3]),
        op("D", [3], [4]),
        op("E", [4, 2], [5]),
    ]
    assert places_undelegated(chain) == [0, 1, 2, 3, 4]
    assert places_undelegated([*chain, op("DELEGATE", [0, 9], [2])]) == [2, 3, 4]
    both = [op("DELEGATE", [0, 9], [2]), op("DELEGATE", [3, 2], [5])]
    assert places_undelegated([*chain, *both]) == [2]


def _changed(path: Path, change: Any) -> bytes:
    import flatbuffers

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(path.read_bytes())))
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _set(place: str, value: Any) -> Any:
    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        holder = {"operator": graph.operators[0], "tensor": graph.tensors[1], "graph": graph}
        name, _, field = place.partition(".")
        setattr(holder[name], field, value)

    return change


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("operator.inputs", [1000], "tensor 1000 of"),
        ("operator.outputs", [-1], "tensor -1 of"),
        ("operator.opcodeIndex", 99, "operator code 99 of"),
        ("graph.inputs", [-2], "tensor -2 of"),
        ("tensor.buffer", 10**6, "buffer 1000000 of"),
        ("tensor.shape", [2**30, 2**30], "a tensor of shape"),
        ("tensor.shape", [-7], "a tensor of shape"),
        ("tensor.shape", [1] * 9, "a tensor of 9 dimensions"),
        ("tensor.shape", [3], "bytes for the"),
        ("tensor.type", 99, "a tensor of type 99"),
    ],
)
def test_tflite_graph_index_or_size_that_cannot_be_is_damage(
    exported: tuple[Path, Result], place: str, value: Any, message: str
) -> None:
    path = exported[0] / "tflite-int8.tflite"
    assert tflite_graph.read(_changed(path, lambda model: None)).macs() == (MACS, 0)
    with pytest.raises(DamagedError, match=message):
        tflite_graph.read(_changed(path, _set(place, value)))
