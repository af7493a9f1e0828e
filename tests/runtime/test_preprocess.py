"""Every picture becomes the pixels that plain Pillow would give, or one ImageError; nothing in between."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import subprocess
import sys
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
from edgewright.runtime.preprocess import decode, fitted, to_pixels

GREY = InputContract(height=28, width=28, channels=1)
RGB = InputContract(height=28, width=28, channels=3)
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


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    memory = io.BytesIO()
    picture.save(memory, kind, **options)
    return memory.getvalue()


def with_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


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


def test_a_picture_without_memory_for_it_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> Any:
        raise MemoryError

    for place in ("fitted", "_upright", "_by_format"):
        with monkeypatch.context() as patch, pytest.raises(ImageError, match="fits into memory"):
            patch.setattr(preprocess, place, none)
            to_pixels(encoded(Image.new("L", (9, 9))), GREY)


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


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Soft colours, hard edges and noise, as a camera gives them."""
    random = np.random.default_rng(seed)
    soft = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8))
    array = np.asarray(soft.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    for _ in range(40):
        y, x = random.integers(0, height), random.integers(0, width)
        array[y : y + height // 9, x : x + width // 7] = random.integers(0, 256, 3)
    return Image.fromarray(np.clip(array + random.normal(0, 6, array.shape), 0, 255).astype(np.uint8))


LARGE = encoded(photo(2000, 1500), "JPEG", quality=90)


def differences(pixels: Array, plain: Image.Image) -> tuple[float, int]:
    apart = np.abs(pixels[0].astype(int) - np.asarray(plain).reshape(pixels.shape[1:]))
    return float(apart.mean()), int(apart.max())


@pytest.mark.parametrize("resample", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(("size", "channels"), [(112, 3), (32, 3), (96, 1)])
def test_jpeg_draft_of_a_large_photo_scaled_while_it_is_decoded_is_nearly_the_same(
    resample: str, size: int, channels: int
) -> None:
    contract = InputContract(height=size, width=size, channels=channels, resample=resample)
    pixels = to_pixels(LARGE, contract)
    whole = Image.open(io.BytesIO(LARGE)).convert("L" if channels == 1 else "RGB")
    mean, most = differences(pixels, whole.resize((size, size), Image.Resampling[resample.upper()]))
    assert 0 < mean <= 0.3  # 0: it was not scaled while it was decoded
    assert most <= 4


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


def test_jpeg_draft_of_a_photo_scaled_while_it_is_decoded_is_not_brighter() -> None:
    contract = InputContract(height=32, width=32, channels=3)
    plain = np.asarray(Image.open(io.BytesIO(LARGE)).resize((32, 32), Image.Resampling.BILINEAR))
    assert abs((to_pixels(LARGE, contract)[0].astype(int) - plain).mean()) < 0.03  # by 8: 0.07


@pytest.mark.parametrize("resample", ["nearest", "box"])
def test_jpeg_draft_is_not_taken_for_resample_filters_that_weigh_single_pixels(resample: str) -> None:
    contract = InputContract(height=96, width=96, channels=3, resample=resample)
    plain = Image.open(io.BytesIO(LARGE)).resize((96, 96), Image.Resampling[resample.upper()])
    assert differences(to_pixels(LARGE, contract), plain) == (0, 0)


@pytest.mark.parametrize(("kind", "size"), [("JPEG", 224), ("JPEG", 280), ("PNG", 96), ("BMP", 32)])
def test_jpeg_draft_is_not_taken_for_what_is_not_large_or_no_jpeg(kind: str, size: int) -> None:
    raw = encoded(photo(1400, 1300), kind)
    contract = InputContract(height=size, width=size, channels=3)
    plain = Image.open(io.BytesIO(raw)).resize((size, size), Image.Resampling.BILINEAR)
    assert differences(to_pixels(raw, contract), plain) == (0, 0)


@pytest.mark.parametrize(("width", "height"), [(2001, 1500), (2000, 1499)])
def test_jpeg_draft_never_stretches_a_photo_by_part_of_a_pixel(width: int, height: int) -> None:
    raw = encoded(photo(width, height), "JPEG")
    contract = InputContract(height=32, width=32, channels=3)
    plain = Image.open(io.BytesIO(raw)).resize((32, 32), Image.Resampling.BILINEAR)
    assert differences(to_pixels(raw, contract), plain) == (0, 0)


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_jpeg_draft_of_a_large_photo_is_turned_and_fitted_as_a_small_one(fit: str, orientation: int) -> None:
    raw = encoded(photo(2000, 1500), "JPEG", quality=90, exif=with_exif(orientation))
    contract = InputContract(height=60, width=90, channels=3, fit=fit)
    whole = Image.open(io.BytesIO(raw))
    whole.load()  # what was decoded before is not scaled any more
    mean, most = differences(to_pixels(raw, contract), Image.fromarray(to_pixels(whole, contract)[0]))
    assert 0 < mean <= 0.3
    assert most <= 4


def test_jpeg_that_is_large_and_cut_off_or_of_several_is_refused_or_taken() -> None:
    contract = InputContract(height=32, width=32, channels=3)
    with pytest.raises(ImageError, match="damaged"):
        to_pixels(LARGE[: len(LARGE) // 2], contract)
    several = encoded(photo(2000, 1500), "MPO", save_all=True, append_images=[photo(100, 100)])
    assert differences(to_pixels(several, contract), Image.fromarray(to_pixels(LARGE, contract)[0]))[0] < 1


def muted(width: int, height: int) -> Image.Image:
    """A photo whose colours all lie well inside of what RGB can say."""
    return photo(width, height).point(lambda value: 60 + value // 2)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"subsampling": 0}),
        ("RGB", {"subsampling": 2}),
        ("RGB", {"progressive": True}),
        ("RGB", {"keep_rgb": True}),
        ("L", {}),
        ("CMYK", {}),
    ],
    ids=["4:4:4", "4:2:0", "progressive", "stored as RGB", "grey", "CMYK"],
)
def test_jpeg_draft_for_a_grey_model_gives_the_grey_that_pillow_makes_of_the_colours(
    mode: str, options: dict[str, Any], orientation: int
) -> None:
    raw = encoded(muted(800, 600).convert(mode), "JPEG", quality=90, exif=with_exif(orientation), **options)
    grey = decode(raw, GREY)
    assert grey.mode == ("CMYK" if mode == "CMYK" else "L")
    colours = decode(raw, RGB)
    assert colours.size == grey.size == ((150, 200) if orientation == 6 else (200, 150))
    np.testing.assert_array_equal(np.asarray(grey.convert("L")), np.asarray(colours.convert("L")))
    np.testing.assert_array_equal(to_pixels(raw, GREY), fitted(colours, GREY))


def test_jpeg_draft_for_a_grey_model_of_colours_that_leave_rgb_is_off_by_little() -> None:
    random, colours = np.random.default_rng(0), np.zeros((600, 800, 3), np.uint8)
    for y, x in zip(random.integers(0, 600, 200), random.integers(0, 800, 200), strict=True):
        colours[y : y + 60, x : x + 80] = random.integers(0, 2, 3) * 255
    raw = encoded(Image.fromarray(colours), "JPEG", quality=75)
    plain = Image.open(io.BytesIO(raw)).convert("L").resize((28, 28), Image.Resampling.BILINEAR)
    mean, most = differences(to_pixels(raw, GREY), plain)
    assert mean < 1
    assert most <= 4


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_draft_of_a_large_photo_is_rounded_once(fit: str, channels: int) -> None:
    """Between Pillow's two passes it would be rounded too, and four times as many values come out one off."""
    contract = InputContract(height=30, width=40, channels=channels, fit=fit)
    picture = decode(encoded(muted(800, 600), "JPEG", quality=90), contract)
    exact = np.stack([fitted_exactly(band.convert("F"), contract) for band in picture.split()], axis=2)
    assert np.abs(fitted(picture, contract)[0] - exact).max() < 0.501
    picture.info.clear()  # as any other picture of its size
    assert np.abs(fitted(picture, contract)[0] - exact).max() > 0.55


def fitted_exactly(picture: Image.Image, contract: InputContract) -> Array:
    size = (contract.width, contract.height)
    if contract.fit == "letterbox":
        return np.asarray(ImageOps.pad(picture, size, Image.Resampling.BILINEAR))
    return np.asarray(ImageOps.fit(picture, size, Image.Resampling.BILINEAR))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_to_pixels_of_an_animated_picture_are_its_first_frame(kind: str) -> None:
    frames = [Image.new("L", (28, 28), value) for value in (40, 200)]
    raw = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert abs(int(to_pixels(raw, GREY).mean()) - 40) <= 2


def test_cmyk_jpegs_are_colour_pictures() -> None:
    pixels = to_pixels(encoded(Image.new("CMYK", (28, 28), (255, 0, 0, 0)), "JPEG"), RGB)
    assert np.abs(pixels.mean((0, 1, 2)) - [0, 255, 255]).max() < 3
