"""Large photos are scaled while they are decoded, which shows by little, and only where it may."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import ImageError
from edgewright.runtime.preprocess import decode, fitted, to_pixels
from tests.runtime.drawn import GREY, RGB, encoded, with_exif

Array = NDArray[Any]


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
