"""Metadata of other tools are used and named; hostile ones are left out with a line."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgewright.runtime import backends, load
from edgewright.runtime.errors import InputError, ModelFileError
from edgewright.runtime.foreign import hints_of

PIXELS = np.random.default_rng(3).integers(0, 256, (1, 12, 10, 3), np.uint8)
LABELS = ["background", "cat, small", "dog", "Katze und Maus"]
WithRecord = Callable[..., bytes]


def test_labels_and_normalization_of_the_standard_record_are_used(
    tmp_path: Path, plain: dict[str, Path], with_record: WithRecord, bare: SimpleNamespace
) -> None:
    path = tmp_path / "theirs.tflite"
    path.write_bytes(with_record(plain["float"].read_bytes(), LABELS, [100.0, 110, 120], [50.0, 60, 70]))
    with load(path) as predictor:
        assert predictor.contract.labels == tuple(LABELS)
        expected = bare.tflite(
            path, ((PIXELS - np.float32([100, 110, 120])) / [50, 60, 70]).astype(np.float32)
        )
        assert np.allclose(predictor.scores(PIXELS), expected, atol=1e-5)
        assert "as its TFLite metadata says" in predictor.assumptions[0]
        assert "4 labels, as labelmap.txt in its TFLite metadata says" in predictor.assumptions
    with load(path, labels=list("abcd"), input_range=(-1, 1)) as predictor:  # the user comes first
        assert predictor.contract.labels == tuple("abcd")
        assert np.array_equal(predictor.scores(PIXELS), bare.tflite(path, (PIXELS / 127.5 - 1).astype("f")))


def test_a_uint8_file_takes_pixels_as_they_are_whatever_its_record_says(
    tmp_path: Path, plain: dict[str, Path], with_record: WithRecord, bare: SimpleNamespace
) -> None:
    path, labels = tmp_path / "theirs.tflite", [str(i) for i in range(301)]
    for mean, std, said in ((127.5, 127.5, False), (0.0, 255.0, True)):
        path.write_bytes(with_record(plain["uint8"].read_bytes(), labels, [mean], [std]))
        with load(path) as predictor:
            assert np.array_equal(predictor.scores(PIXELS), bare.tflite(path, PIXELS))
            assert any("is for floats and is not used" in line for line in predictor.assumptions) == said


def test_a_score_threshold_is_that_of_sigmoids(
    tmp_path: Path, plain: dict[str, Path], with_record: WithRecord
) -> None:
    path = tmp_path / "theirs.tflite"
    path.write_bytes(with_record(plain["several"].read_bytes(), LABELS, threshold=0.3))
    with load(path) as predictor:
        assert predictor.head.threshold == pytest.approx(0.3)
        found = predictor.predict(PIXELS[0], k=9)
        probabilities = predictor.head.probabilities(predictor.scores(PIXELS))[0]
        assert len(found) == (probabilities > 0.3).sum()
    with load(path, threshold=0.9) as predictor:
        assert predictor.head.threshold == 0.9
    path.write_bytes(with_record(plain["float"].read_bytes(), LABELS, [0.0], [255.0], threshold=0.3))
    with load(path) as predictor:
        assert predictor.head.threshold == 0.5
        assert any("the threshold 0.3 of its TFLite metadata is not used" in s for s in predictor.assumptions)


@pytest.mark.parametrize(
    ("labels", "remark"),
    [
        (LABELS[:3], "are not used: there are 3 for 4 classes"),
        (b"\xff\xfe\xff", "cannot be read and is not used"),
        (b"", "holds no labels that can be used"),
        (b"a\n" * 600_000, "cannot be read and is not used: expected at most 1,048,576 bytes"),
    ],
    ids=["too few", "no text", "empty", "long"],
)
def test_labels_that_cannot_be_are_left_out_with_a_line(
    tmp_path: Path, plain: dict[str, Path], with_record: WithRecord, labels: Any, remark: str
) -> None:
    path = tmp_path / "theirs.tflite"
    path.write_bytes(with_record(plain["float"].read_bytes(), labels, [0.0], [255.0]))
    with load(path, labels=LABELS) as predictor:
        assert predictor.contract.labels == tuple(LABELS)
    with pytest.raises(ModelFileError, match="carries no contract"):
        load(path)
    if labels == LABELS[:3]:
        with pytest.raises(ModelFileError, match=remark):
            load(path)
    else:
        with load(path, labels=LABELS) as predictor:
            assert any(remark in line for line in predictor.assumptions)


@pytest.mark.parametrize("mean", [[float("nan")], [1e30], [1.0, 2.0], []], ids=str)
@pytest.mark.parametrize("std", [[0.0], [-1.0], [float("inf")]], ids=str)
def test_a_normalization_that_cannot_be_is_asked_for(
    tmp_path: Path, plain: dict[str, Path], with_record: WithRecord, mean: list[float], std: list[float]
) -> None:
    path = tmp_path / "theirs.tflite"
    path.write_bytes(with_record(plain["float"].read_bytes(), LABELS, mean, std))
    with pytest.raises(InputError, match="does not say of which range"):
        load(path)
    with load(path, input_range=(0, 1)) as predictor:
        assert predictor.assumptions[0].endswith("brought to 0..1 as told")


def test_a_damaged_record_never_stops_a_file(
    tmp_path: Path, plain: dict[str, Path], with_record: WithRecord
) -> None:
    raw = with_record(plain["float"].read_bytes(), LABELS, [127.5], [127.5])
    path, random, used = tmp_path / "theirs.tflite", np.random.default_rng(0), 0
    file = backends.for_path(path).parse(path, raw)
    for _ in range(2000):
        broken = bytearray(file.metadata["TFLITE_METADATA"])
        for at in random.integers(0, len(broken), random.integers(1, 5)):
            broken[at] = random.integers(256)
        behind = bytearray(raw)
        behind[len(raw) - int(random.integers(1, 120))] ^= 0xFF
        changed = {"metadata": {"TFLITE_METADATA": bytes(broken)}, "raw": bytes(behind)}
        hints = hints_of(dataclasses.replace(file, **changed))
        used += hints.labels is not None
        assert all(len(line) < 5000 for line in hints.remarks)
    assert 20 < used < 1980
    path.write_bytes(raw.replace(file.metadata["TFLITE_METADATA"], random.bytes(len(broken))))
    with load(path, labels=LABELS, input_range=(-1, 1)) as predictor:
        assert any("TFLite metadata is damaged and not used" in line for line in predictor.assumptions)


def onnx_file(
    path: Path, shape: tuple[Any, ...] = (1, 3, 12, 10), end: str = "Softmax", **entries: str
) -> Path:
    """The means of the channels."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node(end, ["means"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (shape[0], 3))],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, {key.replace("__", "."): value for key, value in entries.items()})
    onnx.save(model, path)
    return path


def softmax(x: Any) -> Any:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def test_ultralytics_metadata_are_used(tmp_path: Path) -> None:
    path = onnx_file(
        tmp_path / "yolo-cls.onnx",
        ("batch", 3, "height", "width"),
        author="Ultralytics",
        task="classify",
        imgsz="[12, 10]",
        names="{0: 'tench', 1: \"it's\", 2: 'Ω'}",
    )
    with load(path) as predictor:
        assert predictor.contract.labels == ("tench", "it's", "Ω")
        assert predictor.contract.input.shape == (12, 10, 3)
        assert predictor.contract.input.fit == "crop"
        assert np.allclose(predictor.scores(PIXELS)[0], softmax(PIXELS.mean((0, 1, 2)) / 255), atol=1e-6)
        assert "3 labels, as 'names' in its metadata says" in predictor.assumptions
        assert "12x10 pixels, as 'imgsz' in its metadata says" in predictor.assumptions


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("labels", '["a", "b", "c"]'),
        ("classes", "a,b, c"),
        ("class_names", "a\nb\r\nc\n"),
        ("id2label", '{"0": "a", "2": "c", "1": "b"}'),
        ("names", "['a', 'b', 'c']"),
    ],
)
def test_labels_of_key_value_entries_are_read(tmp_path: Path, key: str, value: str) -> None:
    path = onnx_file(tmp_path / "theirs.onnx", **{key: value})
    with load(path, input_range=(0, 1)) as predictor:
        assert predictor.contract.labels == ("a", "b", "c")


@pytest.mark.parametrize(
    "value",
    [
        "{0: 'a', 1: 'b', 3: 'c'}",
        "{0: 'a', 1: 'b', 2: 3}",
        "[" * 100_000,
        "[" + "-" * 100_000 + "1]",
        "['a', 'b', __import__('os').getcwd()]",
        "['" + "x" * 2**20 + "']",
        "{0: 'a', 0: 'b', True: 'c'}",
        "[]",
        "{" + "1:" * 1000,
        "['a', 'b', '" + "c" * 5000 + "']",
    ],
    ids=lambda value: value[:20],
)
def test_labels_of_hostile_entries_are_left_out_with_a_line(tmp_path: Path, value: str) -> None:
    path = onnx_file(tmp_path / "theirs.onnx", names=value)
    with load(path, input_range=(0, 1), labels=["a", "b", "c"]) as predictor:
        assert any("'names' in its metadata" in line for line in predictor.assumptions)
    with pytest.raises(ModelFileError, match="carries no contract"):
        load(path, input_range=(0, 1))


def test_onnx_properties_of_images_are_used(tmp_path: Path) -> None:
    path = onnx_file(
        tmp_path / "theirs.onnx",
        Image__NominalPixelRange="Normalized_1_1",
        Image__BitmapPixelFormat="Bgr8",
        labels="a,b,c",
    )
    with load(path) as predictor:
        assert predictor.assumptions[0].startswith("BGR pixels, channels first, brought to -1..1")
        expected = softmax(PIXELS.mean((0, 1, 2))[::-1] / 127.5 - 1)
        assert np.allclose(predictor.scores(PIXELS)[0], expected, atol=1e-5)


def beside(folder: Path, processor: dict[str, Any] | None = None, **config: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "a", "1": "b", "2": "c"}} | config))
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))


PROCESSOR: dict[str, Any] = {
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.25, 0.3],
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "resample": 3,
    "size": {"shortest_edge": 20},
    "do_center_crop": True,
    "crop_size": {"height": 12, "width": 10},
}


@pytest.mark.parametrize("shape", [(1, 3, 12, 10), ("batch", "channels", "height", "width")], ids=str)
def test_hugging_faces_files_beside_are_used(tmp_path: Path, shape: tuple[Any, ...]) -> None:
    beside(tmp_path / "model", PROCESSOR)
    (tmp_path / "model/onnx").mkdir()
    path = onnx_file(tmp_path / "model/onnx/model.onnx", shape, end="Identity")
    with load(path) as predictor:
        given = predictor.contract.input
        assert (given.shape, given.fit, given.resample) == ((12, 10, 3), "crop", "bicubic")
        assert predictor.contract.labels == ("a", "b", "c")
        assert predictor.head.kind == "logits"
        expected = ((PIXELS / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.3]).mean((0, 1, 2))
        assert np.allclose(predictor.scores(PIXELS)[0], expected, atol=1e-5)
        assert "3 labels, as 'id2label' in config.json beside it says" in predictor.assumptions


def test_hugging_faces_several_labels_are_sigmoids(tmp_path: Path) -> None:
    beside(tmp_path, PROCESSOR | {"do_normalize": False}, problem_type="multi_label_classification")
    path = onnx_file(tmp_path / "model.onnx", end="Identity")
    with load(path) as predictor:
        assert predictor.head.kind == "sigmoid-logits"
        assert np.allclose(predictor.scores(PIXELS)[0], PIXELS.mean((0, 1, 2)) / 255, atol=1e-5)


@pytest.mark.parametrize(
    ("processor", "config"),
    [
        ({"image_mean": [1e400], "image_std": "x", "size": -3}, {}),
        ({"image_mean": [10**400] * 3, "image_std": [0.1] * 3}, {}),
        ({"image_mean": [0.5] * 3, "image_std": [0] * 3, "rescale_factor": 0}, {}),
        ({"image_mean": [0.5] * 3, "image_std": [0.1] * 3, "rescale_factor": 1e-300}, {}),
        ({"image_mean": None, "resample": [], "crop_size": {}, "do_center_crop": 1}, {"id2label": [3]}),
        (PROCESSOR, {"id2label": {"0": "a", "1": "b"}}),
        (PROCESSOR, {"id2label": {"0": None}, "num_channels": {}, "problem_type": 7}),
    ],
)
def test_odd_files_beside_never_stop_a_file(
    tmp_path: Path, processor: dict[str, Any], config: dict[str, Any]
) -> None:
    beside(tmp_path, processor, **config)
    path = onnx_file(tmp_path / "model.onnx")
    with load(path, labels=list("xyz"), input_range=(0, 1)) as predictor:
        assert predictor.contract.labels == ("x", "y", "z")


def test_a_json_of_something_else_beside_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"port": 80}')
    (tmp_path / "preprocessor_config.json").write_bytes(b"\x00" * 100)
    path = onnx_file(tmp_path / "model.onnx")
    with load(path, labels=list("xyz"), input_range=(0, 1)) as predictor:
        assert any("preprocessor_config.json beside it is not used" in s for s in predictor.assumptions)
    (tmp_path / "preprocessor_config.json").unlink()
    with load(path, labels=list("xyz"), input_range=(0, 1)) as predictor:
        assert len(predictor.assumptions) == 3


def test_a_zip_behind_a_model_with_a_directory_larger_than_it_is_not_read(
    tmp_path: Path, plain: dict[str, Path], with_record: WithRecord
) -> None:
    raw = bytearray(with_record(plain["float"].read_bytes(), LABELS, [0.0], [255.0]))
    end = raw.rindex(b"PK\5\6")
    raw[end + 12 : end + 16] = (2**31).to_bytes(4, "little")
    path = tmp_path / "theirs.tflite"
    path.write_bytes(bytes(raw))
    with load(path, labels=LABELS) as predictor:
        assert any(
            "labelmap.txt in its TFLite metadata cannot be read" in line for line in predictor.assumptions
        )
    assert zipfile.is_zipfile(plain["float"]) is False


def test_inspect_tells_what_is_known_of_a_file_without_a_contract(
    tmp_path: Path, plain: dict[str, Path], with_record: WithRecord, run: Callable[..., tuple[int, str, str]]
) -> None:
    path = tmp_path / "theirs.tflite"
    path.write_bytes(with_record(plain["float"].read_bytes(), LABELS, [127.5], [127.5], threshold=0.3))
    status, said, _ = run("inspect", path)
    assert status == 0
    assert "scores     4 softmax: scores are probabilities, as the graph ends in SOFTMAX" in said
    assert "pixels     mean 0.5, std 0.5 of pixels in 0..1, as its TFLite metadata says" in said
    assert "labels     background, cat, small, dog, Katze und Maus, as labelmap.txt in its TFLite" in said
    assert ["threshold", "0.3, as its TFLite metadata says"] in json.loads(run("inspect", path, "--json")[1])[
        "guessed"
    ]
