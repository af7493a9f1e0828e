"""`train` and `data` on pictures of strangers: what they say first, what they list, what they refuse."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgewright.train.checkpoint import Checkpoint
from edgewright.train.pretrained import Weights

Run = Callable[..., tuple[int, str, str]]
Album = Callable[..., Path]


@pytest.fixture(autouse=True)
def _tiny_base(monkeypatch: pytest.MonkeyPatch) -> None:
    def network(self: Weights, keras: Any, shape: tuple[int, int, int]) -> Any:
        return keras.Sequential([keras.Input(shape), keras.layers.Conv2D(4, 8, strides=8)], name="base")

    monkeypatch.setattr(Weights, "network", network)


@pytest.mark.slow
def test_train_photos_says_first_what_it_took_the_data_for(run: Run, tmp_path: Path, album: Album) -> None:
    album(tmp_path / "pictures")
    words = ("train", "photos", "--data", tmp_path / "pictures", "--epochs", 2)
    status, said, complaints = run(*words, "--out", tmp_path / "out")
    assert (status, complaints) == (0, "")
    first = said.splitlines()[0]
    assert first.startswith("photos (MobileNetV2 with ImageNet's weights, first frozen, then tuned, ")
    assert "16 training and 4 test images, 2 classes (cat, dog), RGB 224x224" in first
    assert first.endswith("(pictures have 120x90, colour; --size changes it)")
    assert Checkpoint.open(tmp_path / "out").input.shape == (224, 224, 3)
    status, said, _ = run(*words, "--size", 96, "--weights", "none", "--out", tmp_path / "small")
    assert status == 0
    assert "MobileNetV2 from random weights" in said.splitlines()[0]
    assert said.splitlines()[0].endswith("RGB 96x96 (pictures have 120x90, colour)")
    found = Checkpoint.open(tmp_path / "small")
    assert (found.input.shape, found.head, found.labels) == ((96, 96, 3), "sigmoid", ("cat", "dog"))


@pytest.mark.slow
def test_train_photos_on_a_table_of_several_labels(run: Run, tmp_path: Path, album: Album) -> None:
    album(tmp_path)
    rows = [
        f"{p.parent.name}/{p.name},{i % 2},{i // 2 % 2},1"
        for i, p in enumerate(sorted(tmp_path.rglob("*.png")))
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["image,猫,$5 & $6,always", *rows]))
    status, said, complaints = run(
        "train",
        "photos",
        "--data",
        tmp_path / "labels.csv",
        "--size",
        32,
        "--epochs",
        2,
        "--out",
        tmp_path / "out",
    )
    assert (status, complaints) == (0, "")
    assert "3 labels, several an image, RGB 32x32" in said.splitlines()[0]
    found = Checkpoint.open(tmp_path / "out")
    assert (found.head, found.labels) == ("sigmoid", ("猫", "$5 & $6", "always"))
    status, said, _ = run("data", tmp_path / "labels.csv", "--out", tmp_path / "samples.png")
    assert status == 0
    assert "several labels an image" in said
    assert "always" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--weights", "absent.h5"], "absent.h5, which is no file"),
        (["--base", "MobileNetV9"], "did you mean 'MobileNetV"),
        (["--size", "huge"], "such as 96, 96x96 or 96x96x3"),
    ],
)
def test_train_photos_refuses_what_it_cannot_start_from_before_it_reads(
    run: Run, tmp_path: Path, words: list[str], says: str
) -> None:
    (tmp_path / "empty").mkdir()
    status, said, complaints = run(
        "train", "photos", "--data", tmp_path / "empty", *words, "--out", tmp_path / "out"
    )
    assert (status, said) == (1, "")
    assert says in complaints
    assert complaints.count("\n") == 1


def test_train_refuses_a_base_for_recipes_with_a_network_of_their_own(run: Run, tmp_path: Path) -> None:
    for name in ("fashion-mlp", "mnist-mobilenetv2"):
        status, _, complaints = run("train", name, "--base", "MobileNetV2", "--out", tmp_path / "out")
        assert (status, complaints.count("\n")) == (1, 1)
        assert "leave out --base" in complaints


@pytest.mark.parametrize(
    ("recipe", "words", "shape", "says"),
    [
        ("mnist-mobilenetv2", [], (90, 90, 3), "RGB 90x90 (pictures have 120x90, colour; --size changes it)"),
        (
            "fashion-mlp",
            [],
            (28, 28, 1),
            "grey 28x28 (pictures have 120x90, colour; --size 28x28x3 keeps colour)",
        ),
        ("fashion-mlp", ["--size", "24x32x3"], (24, 32, 3), "RGB 24x32 (pictures have 120x90, colour)"),
    ],
)
def test_train_drops_no_colour_and_size_without_a_word(
    run: Run,
    tmp_path: Path,
    album: Album,
    recipe: str,
    words: list[str],
    shape: tuple[int, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    monkeypatch.setattr(
        "edgewright.train.fitting.fit.train",
        lambda name, recipe, data, *_, **__: seen.append(data.x_train.shape[1:]),
    )
    album(tmp_path / "pictures")
    status, said, _ = run("train", recipe, "--data", tmp_path / "pictures", *words, "--out", tmp_path / "out")
    assert status == 0
    assert seen == [shape]
    assert said.splitlines()[0].endswith(says)


@pytest.mark.parametrize("command", ["train", "data"])
def test_commands_list_bad_tiny_and_leaking_pictures_with_their_names(
    run: Run, tmp_path: Path, album: Album, command: str
) -> None:
    album(tmp_path / "p" / "train")
    album(tmp_path / "p" / "test", count=3)  # the same pictures
    (tmp_path / "p" / "train" / "newt").mkdir()
    Image.new("RGB", (1, 1)).save(tmp_path / "p" / "train" / "dog" / "dot.gif")
    for i in range(14):
        (tmp_path / "p" / "train" / "dog" / f"bad{i:02}.jpg").write_bytes(b"none")
    words = ["train", "fashion-mlp", "--epochs", 1, "--data"] if command == "train" else ["data"]
    words += [tmp_path / "p", "--out", tmp_path / "out.png"]
    status, _, complaints = run(*words)
    assert (status, complaints.count("\n")) == (1, 1)
    assert "newt" in complaints
    assert "--skip-bad" in complaints
    status, said, complaints = run(*words, "--skip-bad")
    assert status == 0
    lines = complaints.splitlines()
    assert sum("left out: " in line for line in lines) == 11
    assert "class 'newt'" in lines[0]
    assert "bad00.jpg" in lines[1]
    assert lines[10] == "edgewright: left out: 5 more"
    told = complaints if command == "train" else said
    assert "1 picture with a side below 16 pixels: train/dog/dot.gif" in told
    assert "LEAK: 6 of 6 test images are in training too (6 to the pixel" in told
    assert "test/cat/0.png = train/cat/0.png" in told


def test_train_photos_on_duplicates_alone_cannot_hold_any_out(run: Run, tmp_path: Path, album: Album) -> None:
    album(tmp_path / "p", count=1)
    for label in ("cat", "dog"):
        for i in range(1, 6):
            shutil.copy(tmp_path / "p" / label / "0.png", tmp_path / "p" / label / f"{i}.png")
    status, _, complaints = run("train", "photos", "--data", tmp_path / "p", "--out", tmp_path / "out")
    assert (status, complaints.count("\n")) == (1, 1)
    assert "cannot hold out test pictures" in complaints
