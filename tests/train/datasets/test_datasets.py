"""Data sets: the embedded one is what it claims to be, and nothing unfit gets in."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.runtime.errors import DataError, UnknownNameError
from edgewright.train import datasets
from edgewright.train.datasets import Dataset, cut_fashion_mini

Arrays = dict[str, NDArray[np.generic]]
FOLDER = Path(datasets.__file__).parent


def arrays() -> Arrays:
    random = np.random.default_rng(0)
    return {
        "x_train": random.integers(0, 256, (20, 4, 5), dtype=np.uint8),
        "y_train": np.arange(20, dtype=np.uint8) % 2,
        "x_test": random.integers(0, 256, (6, 4, 5), dtype=np.uint8),
        "y_test": np.arange(6, dtype=np.uint8) % 2,
    }


def compressed(data: Arrays) -> bytes:
    memory = io.BytesIO()
    np.savez_compressed(memory, allow_pickle=True, **data)
    return memory.getvalue()


def test_fashion_mini_has_equally_many_images_of_each_class(fashion_mini: Dataset) -> None:
    assert fashion_mini.x_train.shape == (10_000, 28, 28, 1)
    assert fashion_mini.x_test.shape == (2_000, 28, 28, 1)
    assert fashion_mini.x_train.dtype == fashion_mini.x_test.dtype == np.uint8
    assert np.bincount(fashion_mini.y_train).tolist() == [1000] * 10
    assert np.bincount(fashion_mini.y_test).tolist() == [200] * 10
    assert fashion_mini.labels[0] == "T-shirt/top"
    assert fashion_mini.labels[9] == "Ankle boot"


def test_fashion_mini_is_the_published_cut(fashion_mini: Dataset) -> None:
    sha = hashlib.sha256()
    with np.load(FOLDER / "fashion_mini.npz") as stored:
        for key in ("x_train", "y_train", "x_test", "y_test"):
            sha.update(stored[key].astype(np.uint8).tobytes())
    assert sha.hexdigest() == "71856adc2e4c1f0b83d78f430e8067aec48156c000d647daf8c24b02a80dbc54"
    assert fashion_mini.sha256 == sha.hexdigest()


def test_fashion_mini_holds_no_image_twice(fashion_mini: Dataset) -> None:
    every = np.concatenate([fashion_mini.x_train, fashion_mini.x_test])
    assert len({image.tobytes() for image in every}) == 12_000


def test_fashion_mini_is_small_and_says_whose_it_is(fashion_mini: Dataset) -> None:
    assert (FOLDER / "fashion_mini.npz").stat().st_size <= 6_000_000
    licence = (FOLDER / "fashion_mini_licence.txt").read_text(encoding="utf-8")
    assert "The MIT License" in licence
    assert "Zalando" in licence
    assert fashion_mini.licence.startswith("MIT")
    assert "1708.07747" in fashion_mini.citation


def test_cutting_fashion_mini_leaves_out_every_image_that_occurs_twice(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    full = {
        part: (random.integers(0, 256, (n, 3, 3), dtype=np.uint8), np.arange(n) % 10)
        for part, n in (("train", 11_000), ("test", 2_500))
    }
    full["train"][0][10] = full["train"][0][20]
    full["test"][0][7] = full["train"][0][33]
    twice = {full[part][0][i].tobytes() for part, i in (("train", 10), ("train", 33), ("test", 7))}
    stored = {f"{axis}_{part}": full[part][i] for part in full for i, axis in enumerate("xy")}
    np.savez(tmp_path / "full.npz", **stored)
    outputs = []
    for name in ("a.npz", "b.npz"):
        cut_fashion_mini.main(tmp_path / "full.npz", tmp_path / name)
        outputs.append((tmp_path / name).read_bytes())
    cut = datasets.load(str(tmp_path / "a.npz"))
    assert np.bincount(cut.y_train).tolist() == [1000] * 10
    assert np.bincount(cut.y_test).tolist() == [200] * 10
    found = [image.tobytes() for image in (*cut.x_train, *cut.x_test)]
    assert len(set(found)) == len(found)
    assert not twice & set(found)
    assert outputs[0] == outputs[1]


def test_load_npz_with_its_own_labels(tmp_path: Path) -> None:
    given = arrays()
    np.savez(tmp_path / "mine.npz", **given, labels=np.array(["cat", "dog"]))
    found = datasets.load(str(tmp_path / "mine.npz"))
    assert found.labels == ("cat", "dog")
    assert found.name == "mine"
    assert found.source == str(tmp_path / "mine.npz")
    assert found.y_train.dtype == np.int64
    np.testing.assert_array_equal(found.x_train[..., 0], given["x_train"])


def test_load_npz_without_labels_calls_classes_by_their_numbers(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays())
    assert datasets.load(str(tmp_path / "mine.npz")).labels == ("0", "1")


@pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
def test_dataset_sha256_counts_every_array(tmp_path: Path, key: str) -> None:
    given = arrays()
    np.savez(tmp_path / "a.npz", **given)
    given[key] = given[key].copy()
    given[key].flat[0] ^= 1
    np.savez(tmp_path / "b.npz", **given)
    first, second = (datasets.load(str(tmp_path / name)).sha256 for name in ("a.npz", "b.npz"))
    assert first != second


def test_dataset_sha256_does_not_depend_on_how_wide_class_numbers_are_stored(tmp_path: Path) -> None:
    given = arrays()
    np.savez(tmp_path / "a.npz", **given)
    np.savez(tmp_path / "b.npz", **{**given, "y_train": given["y_train"].astype(np.int64)})
    first, second = (datasets.load(str(tmp_path / name)).sha256 for name in ("a.npz", "b.npz"))
    assert first == second


Change = Callable[[Arrays], Arrays]
LONELY = {"y_train": np.zeros(20, int), "y_test": np.zeros(6, int)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda a: {"x_train": a["x_train"] / np.float32(255)}, "float32", id="float images"),
        pytest.param(lambda a: {"x_test": a["x_test"].astype(int)}, "int64", id="wide images"),
        pytest.param(lambda a: {"x_train": a["x_train"].reshape(20, 20)}, r"\(20, 20\)", id="flat images"),
        pytest.param(lambda a: {"x_test": np.zeros((6, 4, 5, 2), np.uint8)}, r"5, 2\)", id="two channels"),
        pytest.param(lambda a: {"x_train": np.zeros((0, 4, 5), np.uint8)}, "x_train", id="no images"),
        pytest.param(lambda a: {"x_test": a["x_test"][:, :3]}, "one size", id="two sizes"),
        pytest.param(lambda a: {"x_train": a["x_train"].astype(object)}, r"mine\.npz", id="pickled images"),
        pytest.param(lambda a: {"y_train": a["y_train"][:-1]}, "y_train", id="too few class numbers"),
        pytest.param(lambda a: {"y_test": a["y_test"][:, None]}, "y_test", id="class numbers in columns"),
        pytest.param(lambda a: {"y_test": a["y_test"] / 1.0}, "float64", id="float class numbers"),
        pytest.param(lambda a: {"y_test": a["y_test"] - np.int64(1)}, "from 0", id="negative class numbers"),
        pytest.param(lambda a: {"y_test": np.full(6, 2**63 + 5, np.uint64)}, "y_test", id="absurd numbers"),
        pytest.param(lambda a: LONELY, "two classes", id="one class"),
        pytest.param(lambda a: {"labels": np.array(["a", "b"], object)}, r"mine\.npz", id="pickled labels"),
        pytest.param(lambda a: {"labels": np.array(["a"])}, "2 labels", id="too few labels"),
    ],
)
def test_load_npz_of_arrays_that_are_no_labelled_images_is_refused(
    tmp_path: Path, change: Change, says: str
) -> None:
    data = arrays()
    (tmp_path / "mine.npz").write_bytes(compressed({**data, **change(data)}))
    with pytest.raises(DataError, match=says) as refused:
        datasets.load(str(tmp_path / "mine.npz"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", ["x_train", "y_train", "x_test", "y_test"])
def test_load_npz_names_a_missing_array(tmp_path: Path, key: str) -> None:
    data = arrays()
    del data[key]
    (tmp_path / "mine.npz").write_bytes(compressed(data))
    with pytest.raises(DataError, match=f"got no {key}"):
        datasets.load(str(tmp_path / "mine.npz"))


def damaged_inside() -> bytes:
    """An archive whose first array does not decompress."""
    raw = bytearray(compressed(arrays()))
    header = 30 + int.from_bytes(raw[26:28], "little") + int.from_bytes(raw[28:30], "little")
    raw[header] = 0xFF  # no such kind of deflate block
    return bytes(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"just a text\n", id="text"),
        pytest.param(compressed(arrays())[:-300], id="cut off"),
        pytest.param(damaged_inside(), id="does not decompress"),
        pytest.param(compressed(arrays()).replace(b"\x08\x00", b"\x63\x00"), id="unknown compression"),
        pytest.param(b"\x93NUMPY\x01\x00v\x00", id="damaged .npy"),
    ],
)
def test_load_npz_of_files_that_hold_no_arrays_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "mine.npz").write_bytes(raw)
    with pytest.raises(DataError, match=r"mine\.npz") as refused:
        datasets.load(str(tmp_path / "mine.npz"))
    assert "\n" not in str(refused.value)


def test_load_dataset_refuses_a_single_array_and_a_folder_without_a_size(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"expected an \.npz file"):
        datasets.load(str(tmp_path / "one.npy"))
    with pytest.raises(DataError, match="expected a size for the pictures"):
        datasets.load(str(tmp_path))


def test_load_npz_closes_a_refused_file(tmp_path: Path) -> None:
    """An open file would make Python warn, and warnings are errors here."""
    (tmp_path / "mine.npz").write_bytes(b"PK\x03\x04 no zip at all")
    with pytest.raises(DataError):
        datasets.load(str(tmp_path / "mine.npz"))


def test_load_dataset_of_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'fashion-mnist'"):
        datasets.load("fashon-mnist")


def test_load_dataset_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.npz, which does not exist"):
        datasets.load(str(tmp_path / "nowhere.npz"))


def test_load_named_dataset_whose_content_was_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "mnist.npz", **arrays())
    with pytest.raises(DataError, match="expected the published mnist"):
        datasets.load("mnist", tmp_path)
    monkeypatch.setenv("EDGEWRIGHT_DATA", str(tmp_path))
    with pytest.raises(DataError, match="expected the published mnist"):
        datasets.load("mnist")


def test_load_named_dataset_that_is_not_in_the_given_folder_is_not_looked_for_elsewhere(
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match=r"expected cifar10\.npz in"):
        datasets.load("cifar10", tmp_path)
