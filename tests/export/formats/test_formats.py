"""All formats alike: raw pixels in, the float network's scores out, for every range and head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export import formats, variants
from edgewright.export.network.network import Network
from edgewright.runtime import load
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.errors import UnknownNameError
from edgewright.train.checkpoint import Checkpoint
from edgewright.train.datasets import Dataset, Images

NetworkOf = Callable[[Path], Network]
MakeCheckpoint = Callable[..., Path]
Convert = Callable[..., dict[str, Path]]
Score = Callable[[Path, Images], NDArray[np.float32]]

# Largest difference of any probability, least share of equal top classes
LIMITS = {
    "tflite-float32": (1e-5, 1.0),
    "tflite-float16": (0.01, 0.99),
    "tflite-dynamic-int8": (0.1, 0.97),
    "tflite-int8": (0.15, 0.95),
    "onnx-float32": (1e-5, 1.0),
    "onnx-int8": (0.15, 0.95),
}


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ends", "head"),
    [
        pytest.param((0.0, 1.0), "softmax", marks=pytest.mark.slow),
        pytest.param((-1.0, 1.0), "softmax", marks=pytest.mark.long),
        pytest.param((0.0, 255.0), "softmax", marks=pytest.mark.slow),
        ((-1.0, 1.0), "logits"),
    ],
)
def test_formats_read_raw_pixels_in_every_variant_as_the_network_wants_them(
    network_of: NetworkOf,
    ends: tuple[float, float],
    head: str,
    build_conv: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
    convert: Convert,
    score: Score,
) -> None:
    model = build_conv(ends, "softmax" if head == "softmax" else None)
    folder = make_checkpoint(model, colour, input_range=ends, head=head)
    reference = network_of(folder).scores(colour.x_test)
    files = convert(folder, colour.x_train[:200])
    assert list(files) == list(LIMITS)
    for name, path in files.items():
        scores = score(path, colour.x_test)
        assert scores.dtype == np.float32
        expected, found = (reference, scores) if head == "softmax" else (softmax(reference), softmax(scores))
        error, agreement = LIMITS[name]
        assert np.abs(found - expected).max() <= error, name
        assert np.mean(found.argmax(1) == expected.argmax(1)) >= agreement, name
        with load(path) as predictor:
            probabilities = [p.probability for p in predictor.predict(colour.x_test[0], k=10)]
        assert sum(probabilities) == pytest.approx(1, abs=0.02), name


@pytest.mark.slow
def test_formats_convert_the_same_network_to_the_same_bytes_again_in_one_process(
    build_conv: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, convert: Convert
) -> None:
    folder = make_checkpoint(build_conv(), colour)
    first, second = (
        {name: path.read_bytes() for name, path in convert(folder, colour.x_train[:40]).items()}
        for _ in range(2)
    )
    assert first == second


@pytest.mark.slow
def test_format_attach_of_a_contract_changes_no_score_and_the_last_one_attached_counts(
    network_of: NetworkOf,
    build_conv: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
    score: Score,
    tmp_path: Path,
) -> None:
    folder = make_checkpoint(build_conv(), colour)
    opened = Checkpoint.open(folder)
    network = network_of(folder)
    few = colour.x_test[:40]
    for variant in variants.defaults():
        path, chosen = tmp_path / variant.file, formats.get(variant.format)
        chosen.export(network, variant.scheme, colour.x_train[:40], path)
        bare = score(path, few)
        for name in ("first", "second"):
            contract = ModelContract(
                name=name, variant=variant.name, input=opened.input, labels=opened.labels
            )
            chosen.attach(path, contract)
            np.testing.assert_array_equal(score(path, few), bare)
            with load(path) as predictor:
                assert predictor.contract == contract


@pytest.mark.parametrize(
    ("variant", "bytes_a_weight"),
    [
        ("tflite-float32", 4),
        ("tflite-float16", 2),
        ("tflite-dynamic-int8", 1),
        ("tflite-int8", 1),
        ("onnx-float32", 4),
        ("onnx-int8", 1),
    ],
)
def test_formats_hold_the_networks_weights_and_little_else(
    exported: tuple[Path, object], variant: str, bytes_a_weight: int
) -> None:
    size = (exported[0] / variants.known()[variant].file).stat().st_size
    assert bytes_a_weight * 203_530 < size < bytes_a_weight * 203_530 * 1.1


def test_formats_are_found_by_their_names() -> None:
    assert formats.names() == ("onnx", "tflite")
    with pytest.raises(UnknownNameError, match="did you mean 'tflite'"):
        formats.get("tflit")
