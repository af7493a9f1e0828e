"""Steps are found again in another file; layers keep Keras' names."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from edgewright.export.explaining import naming
from edgewright.export.explaining.graphs import Step
from edgewright.export.explaining.matching import MOST_STEPS, match
from edgewright.runtime.errors import InputError


def _step(kind: str, name: str = "", seed: int | None = None) -> Step:
    weights = None if seed is None else np.random.default_rng(seed).normal(seed, 1, (8, 8)).astype(np.float32)
    return Step(
        value=name or kind,
        operator=kind,
        kind=kind,
        label=f"{kind}_0",
        names=(name,) * bool(name),
        weights=weights,
    )


def test_steps_of_the_same_weights_are_found_among_others() -> None:
    """Another layout, a scaling in front, and one layer fewer."""
    ours = [_step("convolution", seed=1), _step("convolution", seed=3), _step("softmax")]
    theirs = [_step("multiply"), *(_step("convolution", seed=seed) for seed in (1, 2, 3)), _step("softmax")]
    shapes = [(1, 4, 4, 8), (1, 4, 4, 8), (1, 10)]
    others = [(1, 4, 4, 3), *[(1, 8, 4, 4)] * 3, (1, 10)]
    assert match(ours, shapes, theirs, others) == [(0, 1), (1, 3), (2, 4)]


def test_names_decide_where_weights_do_not() -> None:
    ours, theirs = [_step("add", "b")], [_step("add", "a"), _step("add", "b")]
    assert match(ours, [(1, 4)], theirs, [(1, 4), (1, 4)]) == [(0, 1)]


def test_another_shape_or_operator_is_another_step() -> None:
    assert match([_step("add")], [(1, 4)], [_step("add")], [(1, 5)]) == []
    assert match([_step("add")], [(1, 4)], [_step("multiply")], [(1, 4)]) == []


def test_more_layers_than_any_network_has_are_refused() -> None:
    steps = [_step("add")] * (MOST_STEPS + 1)
    with pytest.raises(InputError, match="3,000 layers"):
        match(steps, [(1,)] * len(steps), steps, [(1,)] * len(steps))


def test_layers_are_called_as_in_keras() -> None:
    """Traced once more, all scopes have a number behind them; a model within a model stays in front."""
    names = [
        ("net_1/conv_1/convolution", "net_1/norm_1/batchnorm/mul_1", "net_1/relu_1/Relu;net_1/norm_1/add:7"),
        ("net_1/inner_1/dense_1/MatMul",),
        ("net_1/pool_1/Mean/reduction_indices", "net_1/pool_1/Mean"),
        ("StatefulPartitionedCall:0",),
    ]
    steps = [Step(value=i, operator="X", kind="x", label=f"X_{i}", names=n) for i, n in enumerate(names)]
    found = naming.layers(steps, steps)
    assert found == [("conv", "norm", "relu"), ("inner_1/dense",), ("pool",), ()]
    assert naming.titles(steps, found) == ["conv", "inner_1/dense", "pool", "scores"]


def test_numbers_that_are_the_layers_own_stay() -> None:
    steps = [
        Step(value=i, operator="X", kind="x", label=f"X_{i}", names=(f"net/{name}/Relu",))
        for i, name in enumerate(("conv2d", "conv2d_1", "conv2d_1"))
    ]
    found = naming.layers(steps, steps)
    assert found == [("conv2d",), ("conv2d_1",), ("conv2d_1",)]
    assert naming.titles(steps, found) == ["conv2d", "conv2d_1", "conv2d_1 (X_2)"]


def test_what_a_converter_folds_is_read_off_the_model(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    x = image = keras.Input((8, 8, 1), name="image")
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(layers.Conv2D(2, 3, name="conv")(x)))
    x = layers.Add(name="sum")([x, layers.Conv2D(2, 1, name="side")(x)])
    keras.Model(image, x).save(tmp_path / "model.keras")
    before = naming.order(tmp_path / "model.keras")
    assert before == {"conv": "image", "norm": "conv", "relu": "norm", "side": "relu"}
    assert naming.filled(("conv", "relu"), before) == ("conv", "norm", "relu")
    assert naming.filled(("conv",), before) == ("conv",)
    assert naming.filled(("side", "sum"), before) == ("side", "sum")
    row = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="one"), layers.ReLU(name="two")])
    row.save(tmp_path / "row.keras")
    assert naming.order(tmp_path / "row.keras")["two"] == "one"


def test_a_model_that_says_nothing_of_its_layers_fills_nothing(tmp_path: Path) -> None:
    (tmp_path / "no.keras").write_bytes(b"no archive")
    with ZipFile(tmp_path / "odd.keras", "w") as archive:
        archive.writestr(
            "config.json", '{"class_name": "Functional", "config": {"layers": [3, {"config": 1}]}}'
        )
    for name in ("no.keras", "odd.keras", "none.keras"):
        assert naming.order(tmp_path / name) == {}
