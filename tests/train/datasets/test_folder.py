"""Data sets as people have them: pictures in class folders, and IDX files."""

from __future__ import annotations

import gzip
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import DataError
from edgewright.train import datasets
from edgewright.train.checkpoint import Checkpoint

SIZE = InputContract(height=12, width=16, channels=3)
COLOURS = {"zebra": (250, 0, 0), "ant": (0, 250, 0), "Newt": (0, 0, 250)}
Run = Callable[..., tuple[int, str, str]]


def fill(folder: Path, count: int) -> Path:
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for i in range(count):
            suffix = ("png", "jpg", "webp", "bmp", "gif")[i % 5]
            size = (10 + 7 * i % 50, 20 + 5 * i % 30)
            picture = Image.new("RGB", size, colour)
            picture.paste((90, 90, 90), (0, 0, 2 + i % 8, 2 + i // 3))  # no two of a class are the same
            picture.save(folder / label / f"{i}.{suffix}")
    return folder


def test_class_folders_are_split_stratified_and_labelled_in_order(tmp_path: Path) -> None:
    source = str(fill(tmp_path / "animals", 20))
    found = datasets.load(source, contract=SIZE, seed=3)
    assert found.name == "animals"
    assert found.labels == ("Newt", "ant", "zebra")  # as LabelEncoder sorts them
    assert found.x_train.shape == (48, 12, 16, 3)
    assert np.bincount(found.y_test).tolist() == [4, 4, 4]
    brightest = found.x_train.mean(axis=(1, 2)).argmax(axis=1)
    assert np.array_equal(np.array([2, 1, 0])[found.y_train], brightest)
    assert datasets.load(source, contract=SIZE, seed=3).sha256 == found.sha256
    assert datasets.load(source, contract=SIZE, seed=4).sha256 != found.sha256


def test_class_folders_in_a_pair_of_train_and_test_are_honoured(tmp_path: Path) -> None:
    fill(tmp_path / "train", 4)
    fill(tmp_path / "test", 2)
    found = datasets.load(str(tmp_path), contract=SIZE)
    assert (len(found.x_train), len(found.x_test)) == (12, 6)
    shutil.rmtree(tmp_path / "test" / "ant")
    with pytest.raises(DataError, match="got ant in only one of them"):
        datasets.load(str(tmp_path), contract=SIZE)


def test_class_folders_with_a_damaged_picture_name_it_or_leave_it_out_on_demand(tmp_path: Path) -> None:
    source = fill(tmp_path / "animals", 20)
    whole = (source / "ant" / "5.png").read_bytes()
    (source / "ant" / "5.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"5\.png.*--skip-bad"):
        datasets.load(str(source), contract=SIZE)
    found = datasets.load(str(source), contract=SIZE, skip_bad=True)
    assert len(found.x_train) + len(found.x_test) == 59
    (line,) = found.left_out
    assert "5.png" in line
    assert found.skip_bad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: [shutil.rmtree(f / label) for label in ("ant", "zebra")], "at least two class folders"),
        (lambda f: (f / "empty").mkdir(), "expected pictures .* in .*empty"),
        (lambda f: [p.unlink() for p in (f / "ant").iterdir() if p.stem != "0"], "cannot hold out test"),
    ],
    ids=["one class", "an empty class", "a class of one"],
)
def test_class_folders_that_cannot_be_learnt_from_are_refused(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    source = fill(tmp_path / "animals", 5)
    change(source)
    with pytest.raises(DataError, match=message):
        datasets.load(str(source), contract=SIZE)


@pytest.mark.slow
def test_class_folders_train_a_model_that_is_exported(tmp_path: Path, run: Run) -> None:
    source = fill(tmp_path / "animals", 20)
    assert run("train", "fashion-mlp", "--data", source, "--epochs", 1, "--out", tmp_path / "model")[0] == 0
    assert Checkpoint.open(tmp_path / "model").input.shape == (28, 28, 1)
    words = ["export", tmp_path / "model", "--out", tmp_path / "bundle", "--variants", "tflite-float32"]
    assert run(*words, "--max-drop", 0.3)[0] == 0
    (source / "ant" / "0.png").unlink()
    status, _, err = run(*words, "--overwrite")
    assert (status, err.count("\n")) == (1, 1)
    assert "the data the checkpoint was trained on" in err


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_idx_folders_are_read_plain_or_gzipped(tmp_path: Path, fashion_mini: datasets.Dataset) -> None:
    x, y = fashion_mini.x_train[:50, ..., 0], fashion_mini.y_train[:50].astype(np.uint8)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(x))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(y)))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(x[:9]))
    with pytest.raises(DataError, match="expected t10k-labels"):
        datasets.load(str(tmp_path))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(y[:9]))
    found = datasets.load(str(tmp_path))
    np.testing.assert_array_equal(found.x_train[..., 0], x)
    np.testing.assert_array_equal(found.y_test, y[:9])
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(x[:9])[:-1])
    with pytest.raises(DataError, match="bytes for"):
        datasets.load(str(tmp_path))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(b"\x1f\x8b\x08 no idx")
    with pytest.raises(DataError, match="expected an IDX file"):
        datasets.load(str(tmp_path))


@pytest.mark.slow
def test_data_command_explores_fashion_mini(tmp_path: Path, run: Run) -> None:
    status, out, _ = run("data", "fashion-mini", "--out", tmp_path / "samples.png")
    assert status == 0
    for line in ("10,000 to train, 2,000 to test; 28x28 grey", "0 to 255", "0 test images also occur", "MIT"):
        assert line in out
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.convert("L").getextrema() == (0, 255)
    arrays = {f"x_{part}": np.full((4, 5, 5), 7, np.uint8) for part in ("train", "test")}
    arrays |= {f"y_{part}": np.array([0, 1, 0, 1]) for part in ("train", "test")}
    np.savez(tmp_path / "same.npz", **arrays)
    assert "4 test images also occur" in run("data", tmp_path / "same.npz", "--out", tmp_path / "b.png")[1]
    status, _, err = run("data", "fashion-mini", "--out", tmp_path / "samples.png")
    assert (status, err.count("\n")) == (1, 1)
    assert "--overwrite" in err
    other = ("--size", "14x14x1", "--out", tmp_path / "c.png")
    assert "28x28x1" in run("data", "fashion-mini", *other)[2]
    for size in ("96x", "0", "0x9x3", "9x9x2", "axbx3"):
        status, _, err = run("data", tmp_path, "--size", size, "--out", tmp_path / "d.png")
        assert (status, err.count("\n")) == (1, 1)
        assert "96x96x3" in err
