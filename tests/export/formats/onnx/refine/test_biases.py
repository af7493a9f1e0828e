"""Bias correction of QDQ graphs: what is off in the mean is taken out, and nothing else changes."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export.formats import Context
from edgewright.export.formats.onnx import quantizer, schemes
from edgewright.export.formats.onnx.refine import biases as onnx_biases
from edgewright.export.network.model import FileInterface
from edgewright.export.weights.biases import sample
from edgewright.train.datasets import Dataset

MakeCheckpoint = Callable[..., Path]
Graphs = tuple[Any, Context]


@pytest.fixture
def graphs(
    keras: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
    network_of: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Graphs]:
    """int8 and float32 of a network with two convolutions of one value, a ReLU and a ReLU6, as an export
    hands them on."""

    def make(batch: int = 1, scheme: str = "int8", *, dense: bool = False) -> Graphs:
        layers = keras.layers
        keras.utils.set_random_seed(3)
        entry = keras.Input(colour.x_train.shape[1:])
        features = layers.Flatten()(entry)
        if not dense:
            first = layers.Conv2D(8, 3, strides=2, padding="same")(entry)
            deep = layers.ReLU(6.0)(layers.Conv2D(8, 1)(first))
            deep = layers.DepthwiseConv2D(3, padding="same", activation="relu")(deep)
            deep = layers.Conv2D(8, 1)(deep)
            features = layers.GlobalAveragePooling2D()(layers.Add()([layers.Conv2D(8, 1)(first), deep]))
        model = keras.Model(entry, layers.Softmax()(8 * layers.Dense(10)(features)))
        for layer in model.layers:
            if weights := layer.get_weights():  # biases of zeros would be folded away
                layer.set_weights([weights[0], np.random.default_rng(1).normal(0, 0.1, weights[1].shape)])
        handed: list[Graphs] = []

        def take(model: Any, context: Context) -> None:
            handed.append((copy.deepcopy(model), context))

        with monkeypatch.context() as patch:
            patch.setitem(quantizer.REFINEMENTS, "biases", take)
            network = network_of(make_checkpoint(model, colour), FileInterface(batch=batch))
            schemes.FORMAT.export(network, scheme, colour.x_train[:60], tmp_path / "int8.onnx")
        return handed[0]

    return make


def spoil(quantized: Any, steps: float) -> set[str]:
    """Add 8-bit steps of what it gives to each convolution's bias; their names."""
    from onnx import numpy_helper

    constants = {constant.name: constant for constant in quantized.graph.initializer}
    changed = set()
    for place in onnx_biases._places(quantized.graph, quantized.graph):
        step, bias, scale = (
            numpy_helper.to_array(constants[name]) for name in (place.step[0], place.bias, place.bias_scale)
        )
        moved = (bias + np.round(steps * step / scale)).astype(np.int32)
        constants[place.bias].CopyFrom(numpy_helper.from_array(moved, place.bias))
        changed.add(place.bias)
    return changed


def off(graphs: Graphs) -> float:
    quantized, context = graphs
    batches = batches_of(context)
    scores, _ = onnx_biases._wanted(context.float32, [], batches)
    return onnx_biases._error(quantized, scores, batches)


def batches_of(context: Context) -> list[Any]:
    """What the error is taken over: whole batches of the calibration images."""
    return list(context.network.batches(sample(context.calibration, context.network.interface.batch or 1)))


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "scheme"), [(1, "int8"), (7, "int8"), (1, "int8-s8s8")])
def test_onnx_bias_correction_takes_out_what_every_image_is_off_by(
    graphs: Callable[..., Graphs], batch: int, scheme: str
) -> None:
    made = graphs(batch, scheme)
    good = off(made)
    assert len(spoil(made[0], 4)) == 5
    bad = off(made)
    said = onnx_biases.refine(*made)
    assert bad > 3 * good
    assert off(made) < bad / 3
    images = sum(len(one) for one in batches_of(made[1]))
    assert images == 60 // batch * batch
    assert said == f"corrected on {images} calibration images: mean error {bad:.4f} -> {off(made):.4f}"


def test_onnx_bias_correction_changes_only_biases(graphs: Callable[..., Graphs]) -> None:
    made = graphs()
    changed = spoil(made[0], 6)
    before = {constant.name: constant.SerializeToString() for constant in made[0].graph.initializer}
    nodes = [node.SerializeToString() for node in made[0].graph.node]
    assert onnx_biases.refine(*made)
    assert [node.SerializeToString() for node in made[0].graph.node] == nodes
    after = {constant.name: constant.SerializeToString() for constant in made[0].graph.initializer}
    assert {name for name, raw in after.items() if raw != before[name]} <= changed
    assert after != before


def test_onnx_bias_correction_that_brings_little_is_undone(
    graphs: Callable[..., Graphs], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = graphs()
    spoil(made[0], 4)
    before = made[0].SerializeToString(deterministic=True)
    monkeypatch.setattr(onnx_biases, "_CLEARLY", 0.0)
    assert onnx_biases.refine(*made) is None
    assert made[0].SerializeToString(deterministic=True) == before


def test_onnx_bias_correction_leaves_a_network_without_convolutions_alone(
    graphs: Callable[..., Graphs],
) -> None:
    made = graphs(dense=True)
    before = made[0].SerializeToString(deterministic=True)
    assert onnx_biases.refine(*made) is None
    assert made[0].SerializeToString(deterministic=True) == before


def test_onnx_bias_correction_of_two_convolutions_of_one_value_is_for_each_itself(
    graphs: Callable[..., Graphs],
) -> None:
    """onnxruntime writes both of them before either is quantized."""
    made = graphs()
    kinds = [node.op_type for node in made[0].graph.node]
    assert ("Conv", "Conv") in itertools.pairwise(kinds)
    good = off(made)
    spoil(made[0], 6)
    assert onnx_biases.refine(*made)
    assert off(made) < 1.5 * good
