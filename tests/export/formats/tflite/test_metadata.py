"""The standard TFLite record: a phone tool that knows nothing of us reads labels, size and range."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgewright.export.exporter import Result
from edgewright.export.formats.tflite import metadata as tflite_metadata
from edgewright.runtime.backends.litert import BACKEND
from edgewright.runtime.backends.litert.flatbuffer import Table
from edgewright.runtime.contract import InputContract, ModelContract, stamp
from edgewright.train.datasets import Dataset

ALL = pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic-int8", "int8"])


def standard(path: Path) -> Table:
    """The root of the record in the entry TFLITE_METADATA."""
    raw = BACKEND.read(path).metadata["TFLITE_METADATA"]
    assert raw[4:8] == b"M001"
    return Table.root(raw)


def tensors(path: Path) -> tuple[Table, Table]:
    """What the record says of the input and of the output."""
    graph = standard(path).tables(3)[0]
    return graph.tables(2)[0], graph.tables(3)[0]


@ALL
def test_tflite_metadata_labels_lie_in_a_zip_behind_the_model(
    exported: tuple[Path, Result], scheme: str, fashion_mini: Dataset
) -> None:
    path = exported[0] / f"tflite-{scheme}.tflite"
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode().splitlines() == list(fashion_mini.labels)


@ALL
def test_tflite_metadata_says_what_goes_in_and_where_the_labels_are(
    exported: tuple[Path, Result], scheme: str
) -> None:
    path = exported[0] / f"tflite-{scheme}.tflite"
    root = standard(path)
    assert root.text(0) == "fashion-mlp"
    assert root.text(1).endswith(f"tflite-{scheme}")
    given, scores = tensors(path)
    content = given.table(3)
    assert content is not None
    assert content.scalar(0, "<b") == 2  # ImageProperties
    image = content.table(1)
    assert image is not None
    assert image.scalar(0, "<b") == 2  # GRAYSCALE
    size = image.table(1)
    assert size is not None
    assert (size.scalar(0, "<I"), size.scalar(1, "<I")) == (28, 28)
    labels = scores.tables(6)[0]
    assert labels.text(0) == "labels.txt"
    assert labels.scalar(2, "<b") == 2  # TENSOR_AXIS_LABELS


@ALL
def test_tflite_metadata_normalization_ends_a_standard_reader_with_the_raw_pixels(
    exported: tuple[Path, Result], scheme: str
) -> None:
    """It normalizes, (pixel - mean) / std, and then quantizes by the input tensor, if that is quantized."""
    path = exported[0] / f"tflite-{scheme}.tflite"
    options = tensors(path)[0].tables(4)[0]
    assert options.scalar(0, "<b") == 1  # NormalizationOptions
    normalization = options.table(1)
    assert normalization is not None
    mean, std = normalization.floats(0)[0], normalization.floats(1)[0]
    pixels = np.arange(256)
    given = (pixels - mean) / std
    tensor = BACKEND.read(path).inputs[0]
    if tensor.scale:
        given = given / tensor.scale + tensor.zero_point
    np.testing.assert_array_equal(np.clip(np.round(given), 0, 255), pixels)


def record(**changes: object) -> ModelContract:
    contract: dict[str, object] = {
        "name": "birds",
        "variant": "tflite-float32",
        "input": InputContract(height=28, width=28, channels=1),
        "labels": tuple(f"bird {i}" for i in range(10)),
        "head": "softmax",
    }
    return ModelContract(**(contract | changes))  # type: ignore[arg-type]


def test_tflite_metadata_calls_colour_and_logits_so(bundle: Path) -> None:
    path = bundle / "tflite-float32.tflite"
    colour = InputContract(height=20, width=30, channels=3)
    path.write_bytes(stamp(tflite_metadata.embed(path.read_bytes(), record(input=colour, head="logits"))))
    given, scores = tensors(path)
    content = given.table(3)
    assert content is not None
    image = content.table(1)
    assert image is not None
    size = image.table(1)
    assert size is not None
    assert image.scalar(0, "<b") == 1  # RGB
    assert (size.scalar(0, "<I"), size.scalar(1, "<I")) == (30, 20)
    assert (given.text(0), scores.text(0)) == ("image", "score")


def test_tflite_metadata_embed_leaves_nothing_of_the_old_record(bundle: Path) -> None:
    path = bundle / "tflite-float32.tflite"
    assert b"Ankle boot" in path.read_bytes()
    path.write_bytes(stamp(tflite_metadata.embed(path.read_bytes(), record())))
    assert BACKEND.read(path).contract() == record()
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").startswith(b"bird 0\n")
    assert b"Ankle boot" not in path.read_bytes()


def test_tflite_metadata_labels_in_any_script_survive(bundle: Path) -> None:
    path = bundle / "tflite-int8.tflite"
    labels = ("tē", "猫", "собака", "🐦", "a/b", "c,d", "é", "ü", "ß", "ñ")
    path.write_bytes(stamp(tflite_metadata.embed(path.read_bytes(), record(labels=labels))))
    found = BACKEND.read(path).contract()
    assert found is not None
    assert found.labels == labels
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert archive.read("labels.txt").decode().splitlines() == list(labels)


def test_tflite_metadata_of_the_same_record_gives_the_same_bytes(bundle: Path) -> None:
    raw = (bundle / "tflite-int8.tflite").read_bytes()
    first, second = (tflite_metadata.embed(raw, record()) for _ in range(2))
    assert first == second
    assert struct.unpack_from("<I", first)[0] < len(first)
