"""Every picture becomes the pixels that plain Pillow would give, or one ImageError; nothing in between."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgewright.runtime import preprocess
from edgewright.runtime.contract import RESAMPLES, InputContract
from edgewright.runtime.errors import ImageError
from edgewright.runtime.preprocess import MAX_PIXELS, decode, fitted, look, to_pixels
from tests.runtime.drawn import GREY, RGB, encoded, noise, with_exif

WIDE = InputContract(height=20, width=30, channels=3)
MODES = (
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
)
MODES_16 = ("I;16", "I;16L", "I;16B", "I;16N")

Array = NDArray[Any]
Fresh = Callable[..., "subprocess.CompletedProcess[str]"]


def test_to_pixels_passes_pixels_of_the_models_size_through_untouched() -> None:
    for contract in (GREY, RGB, WIDE):
        array = noise(*contract.shape)
        pixels = to_pixels(array, contract)
        assert pixels.shape == (1, *contract.shape)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels[0], array)


def test_to_pixels_are_contiguous_whatever_the_array_was() -> None:
    turned = noise(28, 28, 3)[::-1, ::-1]
    pixels = to_pixels(turned, RGB)
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels[0], turned)


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "pillow", "array"])
def test_to_pixels_of_every_kind_of_source_are_the_same(kind: str, tmp_path: Path) -> None:
    array = noise(40, 50, 3)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(array)))
    sources: dict[str, Any] = {
        "path": path,
        "text": os.fspath(path),
        "bytes": path.read_bytes(),
        "pillow": Image.fromarray(array),
        "array": array,
    }
    expected = np.asarray(Image.fromarray(array).resize((30, 20), Image.Resampling.BILINEAR))
    assert np.array_equal(to_pixels(sources[kind], WIDE)[0], expected)


@pytest.mark.parametrize("contract", [GREY, RGB, WIDE])
def test_decode_and_fit_apart_give_the_same_pixels(contract: InputContract) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "jpeg")
    picture = decode(memory.getvalue(), contract)
    assert picture.size == (128, 128)  # scaled down on the way
    np.testing.assert_array_equal(fitted(picture, contract), to_pixels(memory.getvalue(), contract))


@pytest.mark.parametrize("resample", RESAMPLES)
@pytest.mark.parametrize("channels", [1, 3])
def test_to_pixels_resample_is_pillows_own(resample: str, channels: int) -> None:
    contract = InputContract(height=20, width=30, channels=channels, resample=resample)
    picture = Image.fromarray(noise(51, 40, 3)).convert("L" if channels == 1 else "RGB")
    expected = np.asarray(picture.resize((30, 20), Image.Resampling[resample.upper()]))
    assert np.array_equal(to_pixels(picture, contract)[0], expected.reshape(contract.shape))


def test_fit_stretch_crop_and_letterbox_differ_as_they_say() -> None:
    """Left third red, middle green, right third blue, twice as wide as high, to a square."""
    stripes = np.zeros((30, 60, 3), np.uint8)
    stripes[:, :20, 0] = stripes[:, 20:40, 1] = stripes[:, 40:, 2] = 255

    def row_and_column(fit: str) -> tuple[list[int], list[int]]:
        contract = InputContract(height=60, width=60, channels=3, fit=fit, resample="nearest")
        pixels = to_pixels(stripes, contract)[0]
        return pixels[30].argmax(1).tolist(), pixels[:, 30].max(1).tolist()

    thirds = [0] * 20 + [1] * 20 + [2] * 20
    assert row_and_column("stretch") == (thirds, [255] * 60)
    assert row_and_column("crop") == ([0] * 10 + [1] * 40 + [2] * 10, [255] * 60)
    assert row_and_column("letterbox") == (thirds, [0] * 15 + [255] * 30 + [0] * 15)


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (28, 28), (29, 28)])
def test_fit_takes_any_shape_of_picture(fit: str, size: tuple[int, int]) -> None:
    contract = InputContract(height=28, width=28, channels=1, fit=fit)
    assert to_pixels(Image.new("L", size, 200), contract).max() == 200


@pytest.mark.parametrize("mode", MODES + MODES_16)
@pytest.mark.parametrize("contract", [GREY, RGB], ids=["grey", "rgb"])
def test_to_pixels_of_every_mode_of_pillow_or_an_image_error(mode: str, contract: InputContract) -> None:
    try:
        pixels = to_pixels(Image.new(mode, (40, 30)), contract)
    except ImageError as failure:
        assert mode in str(failure)
    else:
        assert pixels.shape == (1, *contract.shape)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "CMYK", "YCbCr", "P"])
def test_to_pixels_converts_opaque_modes_as_pillow_converts_them(mode: str) -> None:
    picture = Image.fromarray(noise(28, 28, 3)).convert(mode)
    for contract, target in ((GREY, "L"), (RGB, "RGB")):
        expected = np.asarray(picture.convert(target)).reshape(contract.shape)
        assert np.array_equal(to_pixels(picture, contract)[0], expected)


def test_to_pixels_grey_arrays_may_leave_their_channel_out() -> None:
    array = noise(28, 28)
    assert np.array_equal(to_pixels(array, GREY)[0, :, :, 0], array)
    assert np.array_equal(to_pixels(array[:, :, np.newaxis], RGB)[0], np.stack([array] * 3, axis=2))


@pytest.mark.parametrize("contract", [GREY, RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize(
    "source",
    [
        encoded(Image.new("RGBA", (28, 28), (10, 10, 10, 0))),
        encoded(Image.new("LA", (28, 28), (10, 0))),
        encoded(Image.new("P", (28, 28), 0), transparency=0),
        encoded(Image.new("P", (28, 28), 0), "GIF", transparency=0),
        encoded(Image.new("L", (28, 28), 10), transparency=10),
        encoded(Image.new("RGB", (28, 28), (10, 10, 10)), transparency=(10, 10, 10)),
        encoded(Image.new("1", (28, 28), 0), transparency=0),
        np.zeros((28, 28, 4), np.uint8),
    ],
    ids=["RGBA", "LA", "palette", "GIF", "L with tRNS", "RGB with tRNS", "1 with tRNS", "array"],
)
def test_to_pixels_lays_what_is_transparent_over_white(
    source: bytes | Array, contract: InputContract
) -> None:
    assert to_pixels(source, contract).min() == 255


def test_to_pixels_makes_half_transparent_half_white() -> None:
    picture = Image.new("RGBA", (28, 28), (0, 100, 200, 128))
    assert to_pixels(picture, RGB)[0, 0, 0].tolist() == [127, 177, 227]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_to_pixels_keeps_the_upper_byte_of_16_bit_grey(kind: str) -> None:
    high = np.arange(28 * 28, dtype=np.uint16).reshape(28, 28) * 83
    for contract in (GREY, RGB):
        pixels = to_pixels(encoded(Image.fromarray(high), kind), contract)
        assert np.array_equal(pixels[0, :, :, 0], high >> 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_to_pixels_turns_a_picture_as_exif_orientation_says(orientation: int, kind: str) -> None:
    quarters = np.zeros((28, 28), np.uint8)
    quarters[:14, :14], quarters[:14, 14:], quarters[14:, :14] = 60, 120, 180
    stored = encoded(Image.fromarray(quarters), kind, exif=with_exif(orientation))
    corners = [(4, 4), (4, 23), (23, 4), (23, 23)]
    found = [round(int(to_pixels(stored, GREY)[0, y, x, 0]) / 60) for y, x in corners]
    assert (
        found
        == {
            1: [1, 2, 3, 0],
            2: [2, 1, 0, 3],
            3: [0, 3, 2, 1],
            4: [3, 0, 1, 2],
            5: [1, 3, 2, 0],
            6: [3, 1, 0, 2],
            7: [0, 2, 3, 1],
            8: [2, 0, 1, 3],
        }[orientation]
    )


def test_to_pixels_does_not_change_the_callers_picture() -> None:
    picture = Image.fromarray(noise(40, 30, 3))
    before = picture.tobytes()
    to_pixels(picture, GREY)
    assert (picture.mode, picture.size, picture.tobytes()) == ("RGB", (30, 40), before)


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"hello, I am no picture",
        encoded(Image.fromarray(noise(40, 40)))[:200],
        encoded(Image.fromarray(noise(40, 40)), "JPEG")[:400],
        b"\x89PNG\r\n\x1a\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
    ids=["no bytes", "text", "half a PNG", "half a JPEG", "a PNG's head", "SVG"],
)
def test_to_pixels_refuses_bytes_that_are_no_whole_picture(source: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(source)
    with pytest.raises(ImageError, match=r"expected a .*picture.* got the image"):
        to_pixels(source, GREY)
    with pytest.raises(ImageError, match=r"expected a .*picture.* got '.*a\.png'"):
        to_pixels(path, GREY)


@pytest.mark.parametrize("name", ["nowhere.png", "", "x" * 300, "with\0nul.png"])
def test_to_pixels_names_a_path_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot read|is a folder"):
        to_pixels(os.fspath(tmp_path / name), GREY)


@pytest.mark.parametrize(
    "array",
    [
        noise(28, 28).astype(np.float32),
        noise(28, 28).astype(np.int64),
        noise(28, 28) > 100,
        noise(28),
        noise(28, 28, 2),
        noise(28, 28, 5),
        noise(1, 28, 28, 1),
        noise(0, 28, 3),
        noise(28, 0),
        np.array(3, np.uint8),
        np.array(["a"]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_to_pixels_refuses_an_array_of_another_dtype_or_shape_with_both(array: Array) -> None:
    with pytest.raises(ImageError, match=r"expected uint8 pixels \(H, W\).*, got ") as failure:
        to_pixels(array, GREY)
    assert str(failure.value).endswith(f"got {array.dtype} {array.shape}")


def test_wide_conversions_in_bands_give_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [
        Image.fromarray(noise(40, 30, 4)),
        Image.fromarray(noise(40, 30, 4)).convert("LA"),
        Image.fromarray(noise(40, 30, 3).astype(np.uint16)[:, :, 0] * 200),
        Image.fromarray(noise(40, 30, 3)).quantize(9),
    ]
    pictures[-1].info["transparency"] = 3
    whole = [to_pixels(picture, contract) for picture in pictures for contract in (GREY, RGB)]
    monkeypatch.setattr(preprocess, "_BAND", 70)
    banded = [to_pixels(picture, contract) for picture in pictures for contract in (GREY, RGB)]
    for one, other in zip(whole, banded, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "DDS", "ICO", "PPM"])
def test_to_pixels_of_a_damaged_picture_or_an_image_error(kind: str) -> None:
    exif = {"exif": with_exif(6)} if kind in ("PNG", "JPEG", "TIFF", "WEBP", "AVIF") else {}
    raw = encoded(Image.fromarray(noise(32, 32, 3)), kind, **exif)
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(raw)
        for place in random.integers(0, min(len(raw), 1200), 3):
            damaged[place] = random.integers(256)
        try:
            to_pixels(bytes(damaged), GREY)
        except ImageError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("most", [MAX_PIXELS, 8000])
def test_exif_that_cannot_be_read_ends_in_an_image_error(most: int) -> None:
    """Of a large picture it is read before anything is decoded."""
    exif = b"Exif\0\0\1\0\0\1" + b"\xff" * 20
    raw = encoded(Image.fromarray(noise(56, 56)), "JPEG", exif=exif, dpi=(72, 72))
    with pytest.raises(ImageError, match="the image, which is damaged: not a TIFF file"):
        to_pixels(raw, GREY, most)


def test_exif_that_makes_no_sense_does_not_lose_the_picture_or_ends_in_an_image_error() -> None:
    """The resolution, which is a fraction, stored as text, beside an orientation that asks for a turn."""
    exif = with_exif(6)
    exif[0x010E] = "12345"
    raw = exif.tobytes().replace(b"\x01\x0e\x00\x02", b"\x01\x1a\x00\x02")
    with contextlib.suppress(ImageError):
        to_pixels(encoded(Image.fromarray(noise(28, 28)), "JPEG", exif=raw), GREY)


def test_fit_crop_and_letterbox_are_pillows_own_on_a_real_picture(picture: Path) -> None:
    with Image.open(picture) as opened:
        grey = opened.convert("L").resize((90, 50))
    for fit, expected in (("crop", ImageOps.fit), ("letterbox", ImageOps.pad)):
        contract = InputContract(height=28, width=28, channels=1, fit=fit)
        plain = expected(grey, (28, 28), Image.Resampling.BILINEAR)
        assert np.array_equal(to_pixels(grey, contract)[0, :, :, 0], np.asarray(plain))


def test_png_with_a_text_of_the_name_of_our_own_mark_is_resized_as_any_other() -> None:
    from PIL import PngImagePlugin

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8))
    text = PngImagePlugin.PngInfo()
    text.add_text(preprocess._SCALED, "1")
    plain, marked = io.BytesIO(), io.BytesIO()
    picture.save(plain, "PNG")
    picture.save(marked, "PNG", pnginfo=text)
    contract = InputContract(height=8, width=8, channels=3)
    assert (to_pixels(marked.getvalue(), contract) == to_pixels(plain.getvalue(), contract)).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_to_pixels_of_an_animated_picture_are_its_first_frame(kind: str) -> None:
    frames = [Image.new("L", (28, 28), value) for value in (40, 200)]
    raw = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert abs(int(to_pixels(raw, GREY).mean()) - 40) <= 2


def test_cmyk_jpegs_are_colour_pictures() -> None:
    pixels = to_pixels(encoded(Image.new("CMYK", (28, 28), (255, 0, 0, 0)), "JPEG"), RGB)
    assert np.abs(pixels.mean((0, 1, 2)) - [0, 255, 255]).max() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_look_tells_the_sides_of_a_picture_as_it_is_seen(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(Image.new("L", (40, 30)), "JPEG", exif=with_exif(orientation)))
    with Image.open(path) as picture:
        width, height = ImageOps.exif_transpose(picture).size
    assert look(path) == (width, height, "L")
