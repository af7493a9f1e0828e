"""All that a picture takes while it is read counts: pictures that would take more are refused, unread."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgewright.runtime import preprocess
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import ImageError
from edgewright.runtime.preprocess import to_pixels
from tests.runtime.drawn import GREY, RGB, encoded, with_exif

Fresh = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_decompression_bomb_is_refused() -> None:
    bomb = encoded(Image.new("RGB", (100, 100)))
    with pytest.raises(ImageError, match=r"ordinary size, got the image of 10,000 pixels.*raise max_pixels"):
        to_pixels(bomb, RGB, max_pixels=9_999)
    assert to_pixels(bomb, RGB, max_pixels=10_000).max() == 0


# Bytes a pixel of all that is held at once until a picture is RGB.
HELD = [
    ("L", "PNG", {}, 5),
    ("RGB", "PNG", {"exif": with_exif(6)}, 8),
    ("RGBA", "PNG", {}, 8),
    ("P", "PNG", {"transparency": 0}, 5),
    ("I;16", "PNG", {}, 6),
    ("RGB", "WEBP", {"quality": 1}, 16),
    ("RGB", "AVIF", {"speed": 10}, 16),
    ("RGB", "TIFF", {"compression": "tiff_lzw"}, 8),
]


@pytest.mark.parametrize(("mode", "kind", "given", "held"), HELD)
def test_all_copies_of_a_picture_count(mode: str, kind: str, given: dict[str, Any], held: int) -> None:
    raw = encoded(Image.new(mode, (100, 100)), kind, **given)
    most = 100 * 100 * held // 4
    to_pixels(raw, RGB, most)
    with pytest.raises(ImageError, match="ordinary size"):
        to_pixels(raw, RGB, most - 1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted otherwise")
@pytest.mark.parametrize(("mode", "kind", "given", "held"), HELD)
def test_no_picture_takes_more_memory_than_counts(
    mode: str, kind: str, given: dict[str, Any], held: int, tmp_path: Path, fresh: Fresh
) -> None:
    side = 4000
    (tmp_path / "x").write_bytes(encoded(Image.new(mode, (side, side)), kind, **given))
    code = """
import resource, sys
from edgewright.runtime.contract import InputContract
from edgewright.runtime.preprocess import to_pixels
most = lambda: 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = most()
to_pixels(sys.argv[1], InputContract(height=8, width=8, channels=3))
print(most() - before)
"""
    done = fresh(tmp_path / "x", code=code)
    assert int(done.stdout) < side**2 * held + 2**25, done.stderr


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_counts_as_large_as_it_is_decoded(progressive: bool, channels: int) -> None:
    """One that comes in several scans is held whole, however small it is decoded, and in all its colours."""
    small = InputContract(height=8, width=8, channels=channels)
    raw = encoded(Image.new("RGB", (400, 400)), "JPEG", progressive=progressive)
    if progressive:
        with pytest.raises(ImageError, match="ordinary size"):
            to_pixels(raw, small, max_pixels=400 * 400)
    else:
        assert to_pixels(raw, small, max_pixels=400 * 400 // 4).max() == 0
        with pytest.raises(ImageError, match="ordinary size"):
            to_pixels(raw, dataclasses.replace(small, resample="nearest"), max_pixels=400 * 400 // 4)
    with pytest.raises(ImageError, match="ordinary size"):  # what is thrown away takes its time too
        to_pixels(raw, small, max_pixels=400 * 400 // 5)


def test_a_picture_without_memory_for_it_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> Any:
        raise MemoryError

    for place in ("fitted", "_upright", "_by_format"):
        with monkeypatch.context() as patch, pytest.raises(ImageError, match="fits into memory"):
            patch.setattr(preprocess, place, none)
            to_pixels(encoded(Image.new("L", (9, 9))), GREY)
