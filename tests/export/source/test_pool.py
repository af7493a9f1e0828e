"""A pool of pictures without labels: where it may lie, and what of it tells nothing new."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.export.source import pool
from edgewright.runtime.console import silent
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import DataError
from edgewright.train.datasets import Images

CONTRACT = InputContract(height=24, width=24, channels=3)


@pytest.fixture(scope="module")
def images() -> Images:
    """Pictures with something to see in them, no two alike."""
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (40, 6, 6, 3)).astype(np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(s).resize((24, 24), Image.Resampling.BICUBIC)) for s in small]
    )


def read(path: Path, known: Images, trained_on: Images | None = None) -> tuple[Images, tuple[str, ...]]:
    return pool.read(path, CONTRACT, [known], trained_on, 0, silent)


def png(image: Images, **how: object) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(image).save(memory, **{"format": "PNG", **how})  # type: ignore[arg-type]
    return memory.getvalue()


def test_pool_comes_from_a_folder_a_zip_or_arrays(images: Images, tmp_path: Path) -> None:
    folder = tmp_path / "pictures" / "deep"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for i, image in enumerate(images[10:]):
            (folder / f"{i:02}.png").write_bytes(png(image))
            archive.writestr(f"any/{i:02}.png", png(image))
    np.savez(tmp_path / "pictures.npz", x=images[10:])
    for name in ("pictures", "pictures.zip", "pictures.npz"):
        found, left_out = read(tmp_path / name, images[:10])
        np.testing.assert_array_equal(found, images[10:])
        assert left_out == ()


def test_what_shows_the_same_leaves_first(images: Images, tmp_path: Path) -> None:
    """Pictures of the test, of training, and of the pool itself, to the pixel and as a JPEG of them."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, image in enumerate(images[10:20]):
        (folder / f"{i:02}.png").write_bytes(png(image))
    (folder / "a-test-image.png").write_bytes(png(images[3]))
    (folder / "b-test-image.jpg").write_bytes(png(images[4], format="JPEG", quality=90))
    (folder / "c-training-image.jpg").write_bytes(png(images[30], format="JPEG", quality=90))
    (folder / "d-again.jpg").write_bytes(png(images[12], format="JPEG", quality=90))
    (folder / "e-broken.png").write_bytes(b"no picture")
    found, left_out = read(folder, images[:10], images[25:35])
    np.testing.assert_array_equal(found, images[10:20])
    broken, again = left_out
    assert broken.startswith("1 pictures of the pool that cannot be decoded")
    assert again.startswith("4 pictures of")


def test_pools_that_are_none_are_refused(images: Images, tmp_path: Path) -> None:
    np.savez(tmp_path / "same.npz", x=images[:10])
    np.savez(tmp_path / "size.npz", x=images[:, :12])
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("none", encoding="utf-8")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and no more")
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../../away.png", png(images[0]))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(6):
            archive.writestr(f"{i}.png", bytes(2**26))
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("only.png", "text")
    for name, says in (
        ("same.npz", "not among those of test"),
        ("size.npz", "raw pixels"),
        ("empty", "no file that ends in"),
        ("notes.txt", "expected a folder, a .zip or an .npz"),
        ("missing", "expected a folder, a .zip or an .npz"),
        ("broken.zip", "no whole .zip"),
        ("out.zip", "leads out of it"),
        ("bomb.zip", "which pictures do not"),
        ("text.zip", "none that can be decoded"),
    ):
        with pytest.raises(DataError, match=says):
            read(tmp_path / name, images[:10])


def test_too_large_a_pool_is_drawn_from(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MOST_PICTURES", 12)
    np.savez(tmp_path / "pool.npz", x=images[10:])
    found, left_out = read(tmp_path / "pool.npz", images[:10])
    assert len(found) == 12
    assert left_out == (f"18 of 30 pictures of {tmp_path / 'pool.npz'}, as 12 are taken at most",)
