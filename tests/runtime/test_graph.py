"""What a graph adds up to, by hand on a small one."""

from __future__ import annotations

import pytest

from edgewright.runtime.graph import Graph, Node, Shape, Tensor, broadcast, keras_layers


def activation(name: str, *shape: int, dtype: str = "int8") -> Tensor:
    return Tensor(name=name, shape=shape, dtype=dtype)


def constant(name: str, size: int) -> Tensor:
    return Tensor(name=name, shape=(size,), dtype="int8", stored_bytes=size)


def node(operator: str, inputs: str, outputs: str, macs: int | None = 0) -> Node:
    return Node(operator=operator, inputs=tuple(inputs), outputs=tuple(outputs), macs=macs)


@pytest.fixture
def residual() -> Graph:
    """a -> CONV -> b -> CONV -> c, then ADD(a, c) -> d; the packed weight is unpacked first."""
    tensors = [
        activation("a", 1, 10),
        activation("b", 1, 40),
        activation("c", 1, 10),
        activation("d", 1, 10, dtype="float32"),
        activation("u", 1000),
        constant("v", 7),
        constant("w", 5),
    ]
    nodes = [
        node("DEQUANTIZE", "v", "u"),
        node("CONV", "auw", "b", 400),
        node("CONV", "bw", "c", 300),
        node("ADD", "ac", "d"),
    ]
    return Graph(tensors={t.name: t for t in tensors}, nodes=nodes, inputs=["a"], outputs=["d"])


def test_graph_peak_bytes_count_what_is_still_needed_and_no_constant(residual: Graph) -> None:
    assert residual.peak_bytes() == 10 + 40 + 10  # a is kept for the addition


def test_graph_peak_bytes_are_unknown_with_an_unknown_shape(residual: Graph) -> None:
    tensors = {**residual.tensors, "c": Tensor(name="c", shape=None, dtype="int8")}
    assert Graph(**{**vars(residual), "tensors": tensors}).peak_bytes() is None


def test_graph_layers_count_a_shared_constant_once(residual: Graph) -> None:
    assert [layer.stored_bytes for layer in residual.layers()] == [7, 5, 0, 0]
    assert [layer.output for layer in residual.layers()] == ["u", "b", "c", "d"]
    assert [tensor.name for tensor in residual.constants()] == ["v", "w"]


def test_graph_operators_and_macs(residual: Graph) -> None:
    assert residual.operators() == {"CONV": 2, "ADD": 1, "DEQUANTIZE": 1}
    assert residual.macs() == (700, 0)
    unknown = Graph(**{**vars(residual), "nodes": [*residual.nodes, node("CONV", "d", "d", None)]})
    assert unknown.macs() == (700, 1)


@pytest.mark.parametrize(
    ("shape", "dtype", "size"),
    [
        ((3,), "int4", 2),
        ((2, 2), "float32", 16),
        ((), "int64", 8),
        ((2,), "string", None),
        (None, "int8", None),
    ],
)
def test_tensor_bytes(shape: Shape | None, dtype: str, size: int | None) -> None:
    assert Tensor(name="t", shape=shape, dtype=dtype).bytes == size


def test_broadcast_shapes() -> None:
    assert broadcast((3, 1, 4), (2, 1), ()) == (3, 2, 4)
    assert broadcast((3,), (2,)) is None
    assert broadcast((3,), None) is None


@pytest.mark.parametrize(
    ("names", "layers"),
    [
        (["net_1/conv2d_1/convolution", "net_1/dense_1/MatMul"], ["conv2d", "dense"]),
        (["net_1/conv2d_1/convolution", "net_1/conv2d_1_2/convolution"], ["conv2d", "conv2d_1"]),
        (["net_1/re_lu_1/Relu", "net_1/conv2d_1_2/convolution:7", "net_1/dense_1/MatMul"], None),
        (["net/conv2d_1/convolution", "net/dense_2/MatMul"], ["conv2d_1", "dense_2"]),
        (["net/conv2d/convolution", "net/conv2d_1/convolution"], ["conv2d", "conv2d_1"]),
        (
            ["net_1/inner_1/conv_1/convolution", "net_1/flatten_1/strided_slice/stack"],
            ["inner_1/conv", "flatten"],
        ),
        (["StatefulPartitionedCall:0", "m/block/bn/batchnorm/add_1;m/b/c"], ["", "block/bn"]),
    ],
)
def test_layers_by_the_names_of_tensors_without_the_number_of_their_tracing(
    names: list[str], layers: list[str] | None
) -> None:
    found = [one[0] if one else "" for one in keras_layers([[name] for name in names])]
    assert found == (layers or ["re_lu", "conv2d_1", "dense"])


def test_the_layer_with_the_kernel_comes_first() -> None:
    assert keras_layers([["n/relu/Relu", "n/conv/convolution"]]) == [("conv", "relu")]
