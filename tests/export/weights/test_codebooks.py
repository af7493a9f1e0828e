"""One codebook a layer: what clustering made equal is equal in the file, and computes what it did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export.formats import Context
from edgewright.export.formats.onnx import quantizer as onnx_quantizer
from edgewright.export.formats.onnx.schemes import FORMAT as ONNX
from edgewright.export.formats.tflite import run as tflite_run
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.refine import codebooks
from edgewright.export.formats.tflite.schemes import FORMAT as TFLITE
from edgewright.export.network.network import Network
from edgewright.export.weights.codebooks import clustered
from edgewright.train.datasets import Dataset, Images

VALUES = 8
NetworkOf = Callable[..., Network]
MakeCheckpoint = Callable[..., Path]
Files = tuple[bytes, bytes]


def rounded(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each weight as the nearest of VALUES, none of them the middle between its neighbours."""
    ends = np.sort(np.random.default_rng(0).normal(0, np.std(kernel), VALUES)).astype(np.float32)
    return ends[np.abs(kernel[..., np.newaxis] - ends).argmin(-1)]


@pytest.fixture
def network(
    build_conv: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, network_of: NetworkOf
) -> Callable[..., Network]:
    """The small network, clustered but for its last layer, some channels turned over behind their weights."""

    def make(change: Callable[[Any], None] = lambda model: None) -> Network:
        model = build_conv()
        convolution, normalization, dense = (
            next(one for one in model.layers if type(one).__name__ == kind)
            for kind in ("Conv2D", "BatchNormalization", "Dense")
        )
        for layer in (convolution, dense):
            layer.kernel.assign(rounded(layer.kernel.numpy()))
        signs = np.where(np.arange(8) % 3 == 0, -1, 1)
        normalization.gamma.assign(normalization.gamma.numpy() * signs * np.linspace(0.5, 3, 8))
        change(model)
        return network_of(make_checkpoint(model, colour, input_range=(-1.0, 1.0)))

    return make


def shared(network: Network, quantized: bytes) -> tuple[bytes, str] | None:
    """The file with shared codebooks, and what was said of it."""
    tree = tflite_tree.read(quantized)
    context = Context(network=network, float32=None, calibration=np.empty((0, 1, 1, 1), np.uint8))
    said = codebooks.refine(tree, context)
    return (tflite_tree.write(tree), said) if said else None


def kernels(raw: bytes) -> list[NDArray[Any]]:
    return list(tflite_tree.kernels(tflite_tree.read(raw)).values())


def scores(raw: bytes, images: Images) -> NDArray[np.float32]:
    tree = tflite_tree.read(raw)
    (output,) = tree.subgraphs[0].outputs
    scale, zero_point = tflite_tree.quantization(tree, output)
    found = np.concatenate([batch for (batch,) in tflite_run.tensors(raw, [output], images)])
    return (found.astype(np.float32) - zero_point) * (scale or 1)


def test_codebook_layer_has_as_many_values_as_clusters_and_computes_the_same(
    network: Any, converted: Callable[..., Files], colour: Dataset
) -> None:
    made = network()
    quantized, float32 = converted(made, colour.x_train[:100])
    found = shared(made, quantized)
    assert found is not None
    assert found[1] == "2 layers, one for all channels of each"
    before, after = ({array.shape: array for array in kernels(raw)} for raw in (quantized, found[0]))
    convolution, dense, classifier = (8, 3, 3, 3), (64, 288), (10, 64)
    assert len(np.unique(before[convolution])) > 2 * VALUES
    assert (
        VALUES < len(np.unique(after[convolution])) <= 2 * VALUES
    )  # channels turned over have them negative
    assert max(len(np.unique(channel)) for channel in after[convolution]) <= VALUES
    assert len(np.unique(after[dense])) <= VALUES
    np.testing.assert_array_equal(after[classifier], before[classifier])
    exact = scores(float32, colour.x_test[:200])
    off = [np.abs(scores(raw, colour.x_test[:200]) - exact).mean() for raw in (quantized, found[0])]
    assert off[1] < 1.3 * off[0] + 1e-3


def test_codebook_leaves_everything_else_in_the_file(
    network: Any, converted: Callable[..., Files], colour: Dataset
) -> None:
    made = network()
    quantized, _ = converted(made, colour.x_train[:40])
    found = shared(made, quantized)
    assert found is not None
    before, after = (tflite_tree.read(raw) for raw in (quantized, found[0]))
    assert tflite_tree.operators(after) == tflite_tree.operators(before)
    reads = [op for op in tflite_tree.operators(after) if op.name in ("CONV_2D", "FULLY_CONNECTED")]
    for op in reads:
        graph, old = after.subgraphs[0], before.subgraphs[0]
        weights, bias = (np.asarray(graph.tensors[i].quantization.scale) for i in op.inputs[1:3])
        np.testing.assert_allclose(
            bias, tflite_tree.quantization(after, op.inputs[0])[0] * weights, rtol=1e-6
        )
        real, was = (
            tflite_tree.constant(tree, op.inputs[2]) * np.asarray(g.tensors[op.inputs[2]].quantization.scale)
            for tree, g in ((after, graph), (before, old))
        )
        np.testing.assert_allclose(real, was, atol=bias.max())
    changed = {index for op in reads for index in op.inputs[1:3]}
    for index, (new, was) in enumerate(
        zip(after.subgraphs[0].tensors, before.subgraphs[0].tensors, strict=True)
    ):
        if index not in changed and was.quantization is not None and was.quantization.scale is not None:
            np.testing.assert_array_equal(new.quantization.scale, was.quantization.scale)


def test_codebook_leaves_a_channel_of_small_weights_alone(
    network: Any, converted: Callable[..., Files], colour: Dataset
) -> None:
    def one_huge(model: Any) -> None:
        """One weight 300 times the others: whatever shares its scale has three values left."""
        layer = next(one for one in model.layers if type(one).__name__ == "Conv2D")
        kernel = layer.kernel.numpy()
        kernel[0, 0, 0, 0] = 300 * np.abs(kernel).max()
        layer.kernel.assign(kernel)

    made = network(one_huge)
    quantized, _ = converted(made, colour.x_train[:40])
    found = shared(made, quantized)
    assert found is not None
    before, after = (next(a for a in kernels(raw) if a.ndim == 4) for raw in (quantized, found[0]))
    np.testing.assert_array_equal(after[1:], before[1:])


@pytest.mark.slow
def test_codebook_keeps_a_dead_channel_dead_and_it_keeps_no_other_from_it(
    network: Any, converted: Callable[..., Files], colour: Dataset
) -> None:
    def one_dead(model: Any) -> None:
        layer = next(one for one in model.layers if type(one).__name__ == "BatchNormalization")
        layer.gamma.assign(layer.gamma.numpy() * (np.arange(8) != 5))

    made = network(one_dead)
    found = shared(made, converted(made, colour.x_train[:40])[0])
    assert found is not None
    assert found[1] == "2 layers, one for all channels of each"
    (convolution,) = (array for array in kernels(found[0]) if array.ndim == 4)
    assert [channel.any() for channel in convolution] == [place != 5 for place in range(8)]


def test_codebook_of_layers_without_a_bias(
    keras: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, network_of: NetworkOf, tmp_path: Path
) -> None:
    layers = [keras.layers.Dense(48, activation="relu", use_bias=False) for _ in range(2)]
    ends = [keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((14, 14, 3)), keras.layers.Flatten(), *layers, *ends])
    for layer in layers:
        layer.kernel.assign(rounded(layer.kernel.numpy()))
    made = network_of(make_checkpoint(model, colour))
    for format_ in (TFLITE, ONNX):
        chosen = format_.export(made, "int8", colour.x_train[:40], tmp_path / "int8").chosen
        assert chosen["codebooks"] == "2 layers, one for all channels of each"


def test_codebook_of_one_value_or_none_is_none() -> None:
    """A kernel that was never trained, or that is broken."""
    fine = np.resize(np.float32([1, 2]), (8, 8))
    zeros, broken = np.zeros((8, 8), np.float32), np.where(np.eye(8), np.nan, fine)
    (found,) = clustered([zeros, fine, broken])
    np.testing.assert_array_equal(found, fine.T)


def test_codebook_leaves_weights_that_are_not_clustered_alone(
    build_conv: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
    network_of: NetworkOf,
    converted: Callable[..., Files],
) -> None:
    made = network_of(make_checkpoint(build_conv(), colour, input_range=(-1.0, 1.0)))
    quantized, _ = converted(made, colour.x_train[:40])
    assert shared(made, quantized) is None
    others = [np.round(v.numpy(), 1) for v in made.holder.variables]  # clustered, but other weights
    made.__dict__["clustered"] = clustered(others)
    assert made.clustered
    assert shared(made, quantized) is None


@pytest.mark.parametrize("scheme", ["int8", "int8-s8s8"])
def test_codebook_of_an_onnx_file(
    scheme: str,
    network: Any,
    colour: Dataset,
    tmp_path: Path,
    score: Callable[[Path, Images], NDArray[np.float32]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = network()
    shared, apart = tmp_path / "shared.onnx", tmp_path / "apart.onnx"
    chosen = ONNX.export(made, scheme, colour.x_train[:100], shared).chosen
    assert chosen["codebooks"] == "2 layers, one for all channels of each"
    monkeypatch.delitem(onnx_quantizer.REFINEMENTS, "codebooks")
    assert "codebooks" not in ONNX.export(made, scheme, colour.x_train[:100], apart).chosen
    before, after = ({a.shape: a for a in ONNX.weights(path).values()} for path in (apart, shared))
    convolution, dense, classifier = (8, 3, 3, 3), (64, 288), (10, 64)
    assert len(np.unique(before[convolution])) > 2 * VALUES
    assert VALUES < len(np.unique(after[convolution])) <= 2 * VALUES
    assert len(np.unique(after[dense])) <= VALUES
    np.testing.assert_array_equal(after[classifier], before[classifier])
    import onnx

    graph = onnx.load(shared).graph
    held = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    made_by = {node.output[0]: node for node in graph.node}
    for node in (node for node in graph.node if node.op_type in ("Conv", "Gemm")):
        read = [made_by[name] for name in node.input if name in made_by]
        if [one.op_type for one in read] == ["DequantizeLinear"] * 3:  # the classifier stays in float32
            steps = [held[one.input[1]] for one in read]
            np.testing.assert_allclose(steps[2], steps[0] * steps[1], rtol=1e-5)
    exact = made.scores(colour.x_test[:200])
    off = [np.abs(score(path, colour.x_test[:200]) - exact).mean() for path in (apart, shared)]
    assert off[1] < 1.3 * off[0] + 1e-3


def test_codebook_is_shared_by_an_export_that_says_so(network: Any, colour: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "int8.tflite"
    chosen = TFLITE.export(network(), "int8", colour.x_train[:100], path).chosen
    assert chosen["codebooks"] == "2 layers, one for all channels of each"
    counts = {array.shape: len(np.unique(array)) for array in kernels(path.read_bytes())}
    assert counts[64, 288] <= VALUES
    assert counts[8, 3, 3, 3] <= 2 * VALUES
