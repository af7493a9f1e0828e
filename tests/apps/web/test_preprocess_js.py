"""`preprocess.js` gives in Chromium what `preprocess.py` gives, on 204 pictures: within one step of 255."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgewright.apps import web
from edgewright.runtime.contract import FITS, RESAMPLES, InputContract
from edgewright.runtime.preprocess import to_pixels

SIZES = ((1, 1), (1, 7), (3, 2), (17, 31), (28, 28), (33, 150), (150, 33), (97, 61), (203, 301), (255, 256))
ALPHA = ("png-rgba", "webp-rgba", "png-la", "png-p-alpha", "gif-alpha")
OPAQUE = (
    "jpeg",
    "jpeg-444",
    "jpeg-grey",
    "jpeg-progressive",
    "png",
    "png-l",
    "png-1",
    "png-p",
    "bmp",
    "webp",
    "webp-lossless",
)
LARGE = ((4000, 3000), (3024, 4032), (1200, 900), (640, 481))
_PAGE = """<!doctype html><script type="module">
import { decoded } from "./decode.js";
import { toPixels } from "./preprocess.js";
window.pixels = async (name, input) => {
  const picture = await decoded(await (await fetch(name)).blob());
  const found = toPixels(picture, input);
  picture.close();
  let text = "";
  for (let i = 0; i < found.length; i += 4096) text += String.fromCharCode(...found.subarray(i, i + 4096));
  return btoa(text);
};
</script>"""


def _scene(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """RGBA with slopes, edges, some noise, and an alpha that takes every value."""
    rng = np.random.default_rng(seed)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    grain = rng.normal(0, 5, (256, 256)).astype(np.float32)
    grain = np.tile(grain, (-(-height // 256), -(-width // 256)))[:height, :width]
    dark = ((x // 11)[None] + (y // 7)[:, None]) % 5 == 0
    found = np.empty((height, width, 4), np.uint8)
    for c in range(4):
        (a, b), phase = rng.uniform(0.01, 0.2, 2), rng.uniform(0, 6)
        plane = 128 + np.outer(90 * np.cos(b * y), np.sin(a * x + phase)).astype(np.float32) + grain
        found[:, :, c] = np.clip(np.where(dark & (c < 3), 0.4 * plane, plane), 0, 255)
    if width * height > 4:
        found[:: max(1, height // 3), :, 3] = rng.choice([0, 1, 2, 254, 255])
    return found


def _encoded(kind: str, pixels: NDArray[np.uint8], orientation: int = 1) -> bytes:
    format_, _, how = kind.partition("-")
    picture = Image.fromarray(pixels)
    modes = {"grey": "L", "l": "L", "1": "1", "p": "P", "rgba": "RGBA", "la": "LA", "cmyk": "CMYK"}
    options: dict[str, Any] = {}
    if "alpha" in how or kind == "gif-alpha":
        picture = picture.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
        options["transparency"] = 3
    else:
        picture = (
            picture.convert("RGB").convert(modes[how]) if how in ("grey", "l", "1", "p", "cmyk") else picture
        )
        picture = (
            picture if how in modes and how not in ("rgba", "la") else picture.convert(modes.get(how, "RGB"))
        )
    if format_ == "jpeg":
        options |= {"quality": 88, "progressive": how == "progressive"} | (
            {"subsampling": 0} if how == "444" else {}
        )
    if how == "lossless":
        options["lossless"] = True
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    picture.save(out, format_, **options, **({"exif": exif} if orientation != 1 else {}))
    return out.getvalue()


def _contracts() -> Iterator[InputContract]:
    while True:
        for fit in FITS:
            for resample in RESAMPLES:
                for height, width, channels in ((28, 28, 1), (32, 32, 3), (20, 30, 3)):
                    yield InputContract(
                        height=height, width=width, channels=channels, fit=fit, resample=resample
                    )


def _cases(small: int, large: int) -> dict[str, tuple[bytes, InputContract]]:
    """Small pictures of every kind, size and turn; and some as they come from cameras."""
    contracts, cases = _contracts(), {}
    kinds = (*OPAQUE, *ALPHA)
    for number in range(small):
        kind, (width, height) = kinds[number % len(kinds)], SIZES[number % len(SIZES)]
        turn = 1 + number % 8 if kind.startswith(("jpeg", "png", "webp")) else 1
        raw = _encoded(kind, _scene(width, height, number), turn)
        cases[f"{number}-{kind}-{width}x{height}-turned-{turn}"] = (raw, next(contracts))
    for number, (width, height) in enumerate(LARGE[:large]):
        wanted = InputContract(height=64, width=64, channels=1 if number == 1 else 3, fit=FITS[number % 3])
        raw = _encoded("jpeg", _scene(width, height, 1000 + number), 6 if number == 1 else 1)
        cases[f"large-{width}x{height}"] = (raw, wanted)
    return cases


Pixels = Callable[[bytes, InputContract], NDArray[np.uint8]]


@pytest.fixture(scope="module")
def in_browser(browser: Any, host: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    """What `preprocess.js` makes of the bytes of a file, in Chromium."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, raw in {**web.scripts(), "index.html": _PAGE.encode()}.items():
        (folder / name).write_bytes(raw)
    browser.open(host(folder).url)

    def pixels(raw: bytes, contract: InputContract) -> NDArray[np.uint8]:
        (folder / "picture").write_bytes(raw)
        given = json.dumps(dataclasses.asdict(contract))
        found = base64.b64decode(browser.run(f"pixels('picture?' + Math.random(), {given})"))
        return np.frombuffer(found, np.uint8).reshape(1, *contract.shape)

    return pixels


def _apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    return int(np.abs(one.astype(int) - other).max())


def _check(in_browser: Pixels, cases: dict[str, tuple[bytes, InputContract]], least: int) -> None:
    apart = {
        name: _apart(in_browser(raw, contract), to_pixels(raw, contract))
        for name, (raw, contract) in cases.items()
    }
    assert {name: off for name, off in apart.items() if off > 1} == {}
    assert sum(off == 0 for off in apart.values()) >= least  # it is the same arithmetic


def test_pixels_are_those_of_python(in_browser: Pixels) -> None:
    _check(in_browser, _cases(32, 0), 32)


@pytest.mark.slow
def test_pixels_of_204_pictures_are_those_of_python_within_one_step(in_browser: Pixels) -> None:
    cases = _cases(200, 4)
    assert len(cases) == 204
    _check(in_browser, cases, 200)


@pytest.mark.parametrize(("fit", "resample"), [("stretch", "lanczos"), ("crop", "bicubic")])
def test_pass_that_comes_first_is_that_of_pillow(in_browser: Pixels, fit: str, resample: str) -> None:
    for size in ((28, 28), (60, 200), (20, 25), (33, 150)):
        contract = InputContract(height=20, width=30, channels=3, fit=fit, resample=resample)
        raw = _encoded("png", np.random.default_rng(1).integers(0, 256, (*size[::-1], 4), np.uint8))
        assert _apart(in_browser(raw, contract), to_pixels(raw, contract)) == 0


def test_pictures_that_browsers_read_otherwise_stay_near(in_browser: Pixels) -> None:
    contract = InputContract(height=32, width=32, channels=3)
    cmyk = _encoded("jpeg-cmyk", _scene(97, 61, 5))
    deep = io.BytesIO()
    Image.fromarray(_scene(97, 61, 6)[:, :, 0].astype(np.uint16) * 257 + 100).save(deep, "png")
    for raw in (cmyk, deep.getvalue()):
        assert _apart(in_browser(raw, contract), to_pixels(raw, contract)) <= 1


def test_what_is_no_picture_is_said(in_browser: Pixels) -> None:
    with pytest.raises(AssertionError, match="cannot read that file, which is TIFF"):
        in_browser(b"II*\x00" + bytes(100), InputContract(height=4, width=4, channels=3))
