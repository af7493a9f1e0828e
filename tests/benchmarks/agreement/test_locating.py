"""An operator that an engine gets wrong is named, whatever is wrong with it; none is on right files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.benchmarks.agreement import EngineError
from edgewright.benchmarks.agreement.cpu import Plain, steps_apart
from edgewright.benchmarks.agreement.locating import layer_of, locate, refused
from edgewright.runtime import backends
from edgewright.runtime.backends.litert.tree import read, write
from edgewright.runtime.errors import InputError, ModelFileError
from tests.benchmarks.agreement.planted import (
    SIDE,
    Fault,
    Planted,
    a_step_too_high,
    net,
    place_of,
    refusing,
    with_layout_swapped,
    without_stride,
    without_zero_point,
)

Photos = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def network() -> bytes:
    return net()


@pytest.fixture(scope="module")
def photos() -> Photos:
    random = np.random.default_rng(1)
    return [random.integers(0, 256, (1, SIDE, SIDE, 3), np.uint8) for _ in range(2)]


ALONE: list[tuple[Fault, str]] = [
    *((without_stride, layer) for layer in ("conv2d_1", "conv2d_2", "conv2d_5")),
    *((with_layout_swapped, layer) for layer in ("conv2d", "conv2d_1", "depthwise_conv2d", "conv2d_4")),
    *(
        (without_zero_point, layer)
        for layer in (
            *("conv2d", "conv2d_1", "conv2d_2", "depthwise_conv2d"),
            *("conv2d_3", "conv2d_4", "conv2d_5", "dense"),
        )
    ),
]
TOGETHER: list[tuple[Fault, str, str]] = [
    (without_zero_point, "conv2d_2", "add"),
    (without_stride, "conv2d_5", "flatten"),
    (with_layout_swapped, "depthwise_conv2d", "conv2d_3"),
    (without_zero_point, "dense", "flatten"),
    (with_layout_swapped, "conv2d_4", "conv2d_3"),
]


def _each(fault: Fault, layer: str, network: bytes, photos: Photos) -> None:
    found = locate(network, Planted(fault=fault, layer=layer), photos)
    assert found is not None
    place = place_of(read(network), layer)
    assert (found.places, found.layer, found.crash) == ((place,), layer, "")
    assert found.operator in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    assert found.max_steps > 2


def _pair(fault: Fault, layer: str, along: str, network: bytes, photos: Photos) -> None:
    found = locate(network, Planted(fault=fault, layer=layer, along=along), photos)
    assert found is not None
    tree = read(network)
    places = sorted(place for one in (layer, along) if (place := place_of(tree, one)) is not None)
    assert (found.places, found.crash) == (tuple(places), "")
    assert set(found.layer.split(" + ")) == {layer, along}
    assert " + " in found.operator


def test_there_are_twenty_planted_faults() -> None:
    assert len(ALONE) + len(TOGETHER) == 20


@pytest.mark.parametrize(("fault", "layer"), ALONE[2:4] + ALONE[7:8])
def test_an_operator_that_is_wrong_alone_is_named(
    fault: Fault, layer: str, network: bytes, photos: Photos
) -> None:
    _each(fault, layer, network, photos)


def test_two_operators_that_are_wrong_only_in_one_file_are_named(network: bytes, photos: Photos) -> None:
    _pair(*TOGETHER[0], network, photos)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "layer"), ALONE[:2] + ALONE[4:7] + ALONE[8:])
def test_each_operator_that_is_wrong_alone_is_named(
    fault: Fault, layer: str, network: bytes, photos: Photos
) -> None:
    _each(fault, layer, network, photos)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "layer", "along"), TOGETHER[1:])
def test_each_two_that_are_wrong_only_in_one_file_are_named(
    fault: Fault, layer: str, along: str, network: bytes, photos: Photos
) -> None:
    _pair(fault, layer, along, network, photos)


def test_none_is_named_on_a_right_file_though_its_kernels_round_otherwise(
    network: bytes, photos: Photos
) -> None:
    engine = Planted()  # XNNPACK where it can be had
    assert locate(network, engine, photos) is None
    whole, *parts = engine.opened
    assert whole == network
    assert len(parts) > 2 * 12  # each alone, and by twos and threes
    assert all(len(part) < len(network) for part in parts)


def test_roundings_that_add_up_over_operators_are_no_fault_of_any(network: bytes, photos: Photos) -> None:
    class Rough(Planted):
        """Each layer is off by as much as it may be; two in a row by more."""

        def open(self, raw: bytes) -> Any:
            tree = read(raw)
            for layer in ("conv2d", "conv2d_1", "depthwise_conv2d", "conv2d_3", "conv2d_4", "conv2d_5"):
                if (place := place_of(tree, layer)) is not None:
                    a_step_too_high(tree, place)
            return super().open(write(tree))

    assert locate(network, Rough(), photos) is None


def test_an_engine_that_dies_of_an_operator_is_a_finding_with_what_became_of_it(
    network: bytes, photos: Photos
) -> None:
    found = locate(network, Planted(fault=refusing, layer="conv2d_3"), photos)
    assert found is not None
    assert (found.layer, found.operator) == ("conv2d_3", "CONV_2D")
    assert found.crash == "no kernel for operator 0"


def test_nothing_is_looked_for_beyond_the_time_that_is_given(network: bytes, photos: Photos) -> None:
    engine = Planted(fault=with_layout_swapped, layer="conv2d_4")
    assert locate(network, engine, photos, seconds=0.0) is None
    assert engine.opened == [network]


def test_an_operator_that_is_refused_alone_is_nothing_where_the_whole_file_is_right(
    network: bytes, photos: Photos
) -> None:
    class Choosy(Planted):
        def open(self, raw: bytes) -> Any:
            if len(read(raw).subgraphs[0].operators) == 1:
                raise EngineError("too small a graph")
            return super().open(raw)

    assert locate(network, Choosy(), photos) is None
    every = refused(network, Choosy(), photos)
    assert [one.places for one in every] == [(place,) for place in range(12)]


def test_all_operators_that_are_not_taken_are_named_not_only_the_first(
    network: bytes, photos: Photos
) -> None:
    class Small(Planted):
        def open(self, raw: bytes) -> Any:
            if any(place_of(read(raw), layer) is not None for layer in ("conv2d_1", "dense")):
                raise EngineError("lacks it")
            return super().open(raw)

    assert [one.layer for one in refused(network, Small(), photos)] == ["conv2d_1", "dense"]


def test_a_part_computes_alone_what_it_computes_in_the_whole_file(network: bytes, photos: Photos) -> None:
    tree = read(network)
    with Plain(network, photos) as plain:
        assert plain.alone == list(range(len(tree.subgraphs[0].operators)))
        for places in ([1], [3, 4], [0, 1, 2]):
            piece = plain.piece(places, 0, 0.0)
            part = read(piece.raw).subgraphs[0]
            assert len(part.operators) == len(places)
            with Planted().open(piece.raw) as running:
                for picture, inputs in enumerate(piece.inputs):
                    assert piece.judged(picture, running.run(inputs), 1 + piece.drift, 0.0)[1] is False
        added = read(plain.piece([4], 0, 0.0).raw).subgraphs[0]
        old = tree.subgraphs[0].tensors[int(tree.subgraphs[0].operators[4].inputs[1])]
        assert added.tensors[int(added.inputs[1])].quantization.scale == old.quantization.scale
        piece = plain.piece([1, 2], 0, 0.0)  # what the shortcut reads as well leaves it, too
        assert len(piece.expected[0][0]) == 2


def test_what_is_handed_on_may_be_off_as_much_as_each_operator_may(network: bytes, photos: Photos) -> None:
    with Plain(network, photos) as plain:
        exact, rough = plain.piece([6, 7], 0, 0.0).drift, plain.piece([6, 7], 2, 0.0).drift
    assert exact == 0
    assert 1 <= rough < 40


@pytest.mark.parametrize(
    ("got", "want", "steps"),
    [
        (np.array([3, 250], np.uint8), np.array([5, 250], np.uint8), 2),
        (np.array([-128], np.int8), np.array([127], np.int8), 255),
        (np.array([512], np.int16), np.array([0], np.int16), 2),
        (np.array([1, -2.0], "f4"), np.array([1, -4.0], "f4"), 127.5),
        (np.array([np.nan], "f4"), np.array([1], "f4"), np.inf),
        (np.array([np.inf, 1], "f4"), np.array([np.inf, 1], "f4"), 0),
        (np.array([0, 1e-9], "f4"), np.zeros(2, "f4"), 255e-3),
        (np.array([1], np.int32), np.array([2], np.int32), np.inf),
        (np.zeros((1, 2), np.int8), np.zeros((2, 1), np.int8), np.inf),
        (np.zeros(0, "f4"), np.zeros(0, "f4"), 0),
    ],
)
def test_steps_are_those_of_eight_bits_whatever_the_dtype(got: Any, want: Any, steps: float) -> None:
    assert steps_apart(got, want) == pytest.approx(steps)


def test_layers_are_named_after_what_keras_calls_them(network: bytes) -> None:
    backend = backends.get("litert")
    graph = backend.graph(backend.parse(Path("a.tflite"), network))
    names = [layer_of(graph, [place]) for place in range(len(graph.nodes))]
    assert names[1:6] == ["conv2d", "conv2d_1", "conv2d_2", "add", "depthwise_conv2d"]
    assert (names[0], names[-2:]) == ("before conv2d", ["dense", "after dense"])
    assert layer_of(graph, (3, 4)) == "conv2d_2 + add"


def test_what_cannot_be_located_in_is_refused_in_a_line(network: bytes, photos: Photos) -> None:
    with pytest.raises(ModelFileError, match="TFL3"):
        locate(b"no model at all", Planted(), photos)
    with pytest.raises(InputError, match="got 1 inputs and 0 pictures"):
        locate(network, Planted(), [])
    tree = read(network)
    tree.subgraphs[0].inputs = np.array([0, 0], np.int32)
    with pytest.raises(InputError, match="got 2 inputs"):
        locate(write(tree), Planted(), photos)
    tree = read(network)
    tree.operatorCodes[4].builtinCode = 31  # CONCAT_EMBEDDINGS, which no interpreter has
    with pytest.raises(EngineError) as failed:
        locate(write(tree), Planted(), photos)
    assert "\n" not in str(failed.value)
