"""Pictures of strangers: what is listed, how they are split, what they are brought to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import DataError
from edgewright.train import datasets
from edgewright.train.datasets import Size, hygiene
from edgewright.train.datasets.part import open_part
from edgewright.train.datasets.splitting import hold_out

Scene = Callable[..., Image.Image]
Album = Callable[..., Path]
SMALL = InputContract(height=32, width=32, channels=3)
UP_TO = Size(height=224, width=224, channels=3)


def test_class_folder_without_pictures_is_left_out_on_demand(tmp_path: Path, album: Album) -> None:
    album(tmp_path)
    (tmp_path / "newt").mkdir()
    (tmp_path / "newt" / "notes.txt").write_text("none yet")
    with pytest.raises(DataError, match=r"got none in newt; --skip-bad leaves"):
        datasets.load(str(tmp_path), contract=SMALL)
    found = datasets.load(str(tmp_path), contract=SMALL, skip_bad=True)
    assert found.labels == ("cat", "dog")
    assert found.left_out == (f"class 'newt', of which there are no pictures in {tmp_path}",)


def test_class_whose_pictures_are_all_damaged_is_left_out_on_demand(tmp_path: Path, album: Album) -> None:
    album(tmp_path, ("cat", "dog", "eel"))
    for path in (tmp_path / "cat").iterdir():
        path.write_bytes(b"none")
    with pytest.raises(DataError, match=r"0\.png.*and 9 more of 30: .*--skip-bad"):
        datasets.load(str(tmp_path), contract=SMALL)
    found = datasets.load(str(tmp_path), contract=SMALL, skip_bad=True)
    assert found.labels == ("dog", "eel")
    assert set(found.y_train) == {0, 1}
    assert len(found.left_out) == 11
    assert found.x_train[found.y_train == 0][..., 0].mean() > found.x_train[found.y_train == 0][..., 1].mean()


def test_class_folders_take_val_for_the_test_and_no_hidden_files(tmp_path: Path, album: Album) -> None:
    album(tmp_path / "train", count=4)
    album(tmp_path / "val", count=3)
    (tmp_path / "train" / "cat" / "._0.png").write_bytes(b"of macOS")
    (tmp_path / "train" / "__MACOSX").mkdir()
    found = datasets.load(str(tmp_path), contract=SMALL)
    assert (found.labels, len(found.x_train), len(found.x_test)) == (("cat", "dog"), 8, 6)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
def test_training_takes_the_formats_that_predict_takes(tmp_path: Path, album: Album, scene: Scene) -> None:
    album(tmp_path, count=5)
    for i in range(5):
        scene(50 + i).save(tmp_path / "cat" / f"more{i}.avif")
    assert np.bincount(datasets.load(str(tmp_path), contract=SMALL).y_train).tolist() == [8, 4]


def test_heic_without_its_package_says_what_to_install(tmp_path: Path, album: Album) -> None:
    album(tmp_path)
    (tmp_path / "cat" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(DataError, match=r"pillow-heif|which is none"):
        datasets.load(str(tmp_path), contract=SMALL)


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        (UP_TO, (90, 90, 3)),
        (Size(height=64, width=48, channels=3), (64, 48, 3)),
        (Size(height=224, width=112, channels=1), (180, 90, 1)),
        (Size(height=224, width=224, channels=3, exact_sides=True), (224, 224, 3)),
    ],
)
def test_pictures_keep_what_they_have_up_to_what_is_wanted(
    tmp_path: Path, album: Album, size: Size, shape: tuple[int, int, int]
) -> None:
    assert datasets.load(str(album(tmp_path)), size=size).x_train.shape[1:] == shape


def test_pictures_in_grey_stay_grey_however_they_are_stored(tmp_path: Path, album: Album) -> None:
    album(tmp_path)
    for path in tmp_path.rglob("*.png"):
        with Image.open(path) as picture:
            grey = picture.convert("L").convert("RGB")
        grey.save(path)
    assert datasets.load(str(tmp_path), size=UP_TO).x_train.shape[3] == 1
    exact = Size(height=40, width=40, channels=3, exact_channels=True)
    assert datasets.load(str(tmp_path), size=exact).x_train.shape[3] == 3


def test_survey_counts_a_turned_picture_as_it_is_seen(tmp_path: Path, album: Album, scene: Scene) -> None:
    album(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    scene(77, (400, 100)).save(tmp_path / "cat" / "turned.jpg", exif=exif)
    origin = datasets.load(str(tmp_path), contract=SMALL).origin
    assert origin is not None
    assert (origin.survey.smallest, origin.survey.largest) == ((120, 90), (100, 400))


def variants(picture: Image.Image, folder: Path) -> None:
    """The same picture as people have it twice: smaller, as JPEG, brighter."""
    picture.resize((60, 45)).save(folder / "smaller.png")
    picture.save(folder / "photo.jpg", quality=60)
    Image.fromarray((np.asarray(picture) * 0.8 + 20).astype(np.uint8)).save(folder / "brighter.webp")


@pytest.mark.parametrize("seed", range(4))
def test_split_never_parts_pictures_that_show_the_same(
    tmp_path: Path, album: Album, scene: Scene, seed: int
) -> None:
    album(tmp_path)
    variants(scene(5000), tmp_path / "cat")
    shutil.copy(tmp_path / "dog" / "3.png", tmp_path / "dog" / "again.png")
    found = datasets.load(str(tmp_path), contract=SMALL, seed=seed)
    assert found.origin is not None
    for names in ({"cat/smaller.png", "cat/photo.jpg", "cat/brighter.webp"}, {"dog/3.png", "dog/again.png"}):
        assert names <= {*found.origin.train} or names <= {*found.origin.test}
    wrong = hygiene.examine(found)
    assert (wrong.leaking, len(wrong.repeated)) == ((), 3)


def test_leaks_of_a_given_split_are_told_with_names_and_counts(
    tmp_path: Path, album: Album, scene: Scene
) -> None:
    album(tmp_path / "train")
    (tmp_path / "test").mkdir()
    for number, label in enumerate(("cat", "dog")):
        (tmp_path / "test" / label).mkdir()
        for i in range(4):
            scene(7000 + 10 * number + i).save(tmp_path / "test" / label / f"{i}.png")
    shutil.copy(tmp_path / "train" / "cat" / "1.png", tmp_path / "test" / "cat" / "same.png")
    with Image.open(tmp_path / "train" / "dog" / "2.png") as picture:
        picture.resize((200, 150), Image.Resampling.BICUBIC).save(tmp_path / "test" / "cat" / "larger.jpg")
    scene(1, (15, 40)).save(tmp_path / "train" / "cat" / "tiny.png")
    found = datasets.load(str(tmp_path), contract=SMALL)
    wrong = hygiene.examine(found)
    assert dict(wrong.leaking) == {
        "test/cat/same.png": "train/cat/1.png",
        "test/cat/larger.jpg": "train/dog/2.png",
    }
    assert wrong.leaking_exactly == 1
    assert wrong.contradicted == (("test/cat/larger.jpg", "train/dog/2.png"),)
    assert wrong.tiny == ("train/cat/tiny.png",)
    tiny, contradicted, leak = wrong.lines
    assert tiny == "1 picture with a side below 16 pixels: train/cat/tiny.png"
    assert contradicted.startswith("1 duplicate with another label: test/cat/larger.jpg = ")
    assert leak.startswith("LEAK: 2 of 10 test images are in training too (1 to the pixel")


def test_pictures_that_differ_in_colour_or_hold_little_are_no_duplicates() -> None:
    """A red and a green signal, and plain grounds with a patch, are not taken for each other."""
    from edgewright.train.datasets import duplicates

    random = np.random.default_rng(0)
    texture = random.integers(0, 100, (40, 40), dtype=np.uint8)
    signals = np.zeros((2, 40, 40, 3), np.uint8)
    signals[0, ..., 0], signals[1, ..., 1] = texture + 100, texture + 100
    plain = np.full((3, 40, 40, 3), 240, np.uint8)
    for i in range(3):
        plain[i, : 4 + 2 * i, :5] = 90
    found = duplicates.find([signals, plain, plain[:1]])
    assert found.near.tolist() == [0, 1, 2, 3, 4, 2]
    assert found.exact.tolist() == found.near.tolist()


def test_duplicates_are_united_over_any_number_of_steps() -> None:
    from edgewright.train.datasets.duplicates import _united

    pairs = np.array([[4, 5], [3, 4], [0, 5], [1, 2]])
    assert _united(7, pairs).tolist() == [0, 1, 1, 0, 0, 0, 6]


def table(folder: Path, header: str, rows: list[str]) -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_csv_table_of_one_class_a_picture_is_a_data_set(tmp_path: Path, album: Album) -> None:
    album(tmp_path / "all")
    rows = [f"all/{p.parent.name}/{p.name},{p.parent.name}" for p in sorted(tmp_path.rglob("*.png"))]
    found = datasets.load(str(table(tmp_path, "image,label", rows)), contract=SMALL)
    assert (found.name, found.labels) == ("labels", ("cat", "dog"))
    assert np.bincount(found.y_test).tolist() == [2, 2]
    assert found.origin is not None
    assert all(
        name.startswith(f"all/{found.labels[y]}/")
        for name, y in zip(found.origin.train, found.y_train, strict=True)
    )
    given = [f"{row},{'test' if '/3.png' in row else 'train'}" for row in rows]
    split = datasets.load(str(table(tmp_path, "image,label,split", given)), contract=SMALL)
    assert split.origin is not None
    assert split.origin.test == ("all/cat/3.png", "all/dog/3.png")
    whole = [f"{row},train" for row in rows]
    with pytest.raises(DataError, match="none for test"):
        datasets.load(str(table(tmp_path, "image,label,split", whole)), contract=SMALL)


def test_csv_table_of_several_labels_is_a_data_set_and_a_part(tmp_path: Path, album: Album) -> None:
    album(tmp_path)
    paths = sorted(tmp_path.rglob("*.png"))
    rows = [f"{p.parent.name}/{p.name},{int(i % 2 == 0)},{int(i % 3 == 0)},0" for i, p in enumerate(paths)]
    path = table(tmp_path, "image,warm,big,rare", rows)
    found = datasets.load(str(path), contract=SMALL)
    assert found.is_multi_label
    assert found.labels == ("warm", "big", "rare")
    assert (found.y_train.dtype, found.y_train.shape, found.y_test.shape) == (np.bool_, (16, 3), (4, 3))
    part = open_part(path, SMALL, (("x", "y"),), labelled=True)
    assert (part.count, part.classes) == (20, ("warm", "big", "rare"))
    assert part.labels is not None
    assert part.labels[:4].tolist() == [[i % 2 == 0, i % 3 == 0, False] for i in range(4)]
    assert part.take(np.array([3])).shape == (1, 32, 32, 3)
    paths[0].unlink()
    with pytest.raises(DataError, match=r"cat/0\.png.*--skip-bad"):
        datasets.load(str(path), contract=SMALL)
    assert len(datasets.load(str(path), contract=SMALL, skip_bad=True).left_out) == 1


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64])
def test_npz_of_several_labels_is_a_data_set_and_a_part(tmp_path: Path, dtype: type) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    y = (random.random((12, 4)) < 0.5).astype(dtype)
    names = np.array(["a", "b", "c", "d"])
    np.savez(tmp_path / "several.npz", x_train=x, y_train=y, x_test=x[:5], y_test=y[:5], labels=names)
    found = datasets.load(str(tmp_path / "several.npz"))
    assert (found.is_multi_label, found.labels) == (True, tuple(names))
    np.testing.assert_array_equal(found.y_train, y.astype(bool))
    contract = InputContract(height=8, width=8, channels=3)
    part = open_part(tmp_path / "several.npz", contract, (("x_test", "y_test"),), labelled=True)
    assert part.classes == tuple(names)
    np.testing.assert_array_equal(part.labels, y[:5].astype(bool))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": np.full((5, 4), 2)}, "y_test"),
        ({"y_test": np.zeros((5, 3), bool)}, "same labels"),
        ({"y_test": np.zeros(5, int)}, "same labels"),
        ({"labels": np.array(["a", "b"])}, "4 labels"),
    ],
)
def test_npz_of_several_labels_that_do_not_fit_is_refused(
    tmp_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    x, y = np.zeros((12, 8, 8, 3), np.uint8), np.eye(12, 4, dtype=bool)
    arrays = {"x_train": x, "y_train": y, "x_test": x[:5], "y_test": y[:5]} | change
    np.savez(tmp_path / "several.npz", **arrays)
    with pytest.raises(DataError, match=message):
        datasets.load(str(tmp_path / "several.npz"))


def test_hold_out_of_several_labels_has_some_of_each_on_both_sides() -> None:
    flags = np.zeros((100, 3), bool)
    flags[:80, 0], flags[:20, 1], flags[:5, 2] = True, True, True
    for seed in range(5):
        stay, go = hold_out(flags, 0.2, seed)
        assert len(go) == 20
        assert sorted([*stay, *go]) == list(range(100))
        assert flags[stay].any(axis=0).all()
        assert flags[go].any(axis=0).all()


def test_hold_out_without_groups_is_scikit_learns_stratified_split() -> None:
    """Checkpoints name the data of a split by its hash: it must come out the same for ever."""
    from sklearn.model_selection import train_test_split

    labels = np.arange(60) % 3
    expected = train_test_split(np.arange(60), test_size=0.2, random_state=7, stratify=labels)
    for found, part in zip(hold_out(labels, 0.2, 7), expected, strict=True):
        assert found.tolist() == sorted(part)
    alone = np.arange(60)
    assert hold_out(labels, 0.2, 7, alone)[1].tolist() == sorted(expected[1])
