"""From a picture to the raw pixels a model file takes: the one implementation of the one policy.

Decode, turn upright as EXIF says, lay over white where it is transparent, to RGB or grey, resize as
the input contract says. Scaling, mean and channel order live inside the model file.

A large JPEG file is scaled down while it is decoded, by 2 or 4, as far as `MARGIN` times the model's
size is left to resize from: a 12-megapixel photo then takes a quarter of the time at 224 pixels, and
its pixels differ by 0.2 of 255 in the mean and by 3 at most. That holds for filters that weigh all
pixels smoothly; `nearest` and `box` part by up to 176, so for them everything is decoded. It holds too
only where the factor divides both sides, else the picture would be stretched by part of a pixel, which
was 1.0 in the mean. By 8 all would be 0.06 too bright: each block is then one value, of which a half is
rounded up. Smaller pictures, other formats, and what was decoded before are never scaled so.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import ImageError

if TYPE_CHECKING:
    Pixels: TypeAlias = NDArray[np.uint8]

ImageSource: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any]

# Pillow also opens formats that it hands to other programs (EPS to Ghostscript) or that are no pictures.
# They are tried in this order; from WEBP on Pillow has to load its plugins first. HEIC comes from the package
# pillow_heif, where that is installed.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "AVIF")
_CURES = {
    b"avif": "AVIF pictures need Pillow 11.3 or newer; run: pip install --upgrade pillow",
    b"hei": "HEIC pictures need the package pillow-heif; run: pip install pillow-heif",
}

MARGIN = 3  # with 2.7 times the size left, single pixels differed by 10
_SMOOTH = ("bilinear", "bicubic", "lanczos")

_opening = threading.Lock()  # warnings can only be silenced for all threads at once

_RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def to_pixels(image: ImageSource, contract: InputContract) -> Pixels:
    """Turn a picture into what `Session.run` takes.

    Args:
        image: a path, the bytes of an image file, a Pillow image, or an array `(H, W)`, `(H, W, 1)`,
            `(H, W, 3)` or `(H, W, 4)` of uint8.
        contract: the size, channels and fit to produce.

    Returns:
        uint8 `(1, height, width, channels)`, C-contiguous, 0-255, RGB or grey.

    Raises:
        ImageError: no picture, a damaged one, one larger than Pillow's limit (179 megapixels), or an
            array of another dtype or shape.
    """
    if isinstance(image, np.ndarray):
        if image.dtype == np.uint8 and image.shape == contract.shape:
            return np.ascontiguousarray(image[np.newaxis])
        picture = _from_array(image)
    elif isinstance(image, Image.Image):
        picture = _upright(image, "the image")
    else:
        picture = decode(image, contract)
    return fitted(picture, contract)


def decode(image: str | os.PathLike[str] | bytes, contract: InputContract) -> Image.Image:
    """The first half of `to_pixels` for a file: decoded, upright, a large JPEG scaled down on the way.

    Raises:
        ImageError: no picture, a damaged one, or one larger than Pillow's limit.
    """
    if isinstance(image, bytes):
        name, source = "the image", io.BytesIO(image)
    else:
        name = f"'{os.fspath(image)}'"
        try:
            source = io.BytesIO(Path(image).read_bytes())
        except (OSError, ValueError) as failure:
            raise ImageError(f"cannot read {name}: {getattr(failure, 'strerror', failure)}") from failure
    picture = _opened(source, name)
    if contract.resample in _SMOOTH:
        try:
            _scale_while_decoding(picture, MARGIN * max(contract.height, contract.width))
        except Exception as failure:  # decoders raise what they like
            raise ImageError(
                f"expected a whole picture, got {name}, which is damaged: {failure}"
            ) from failure
    return _upright(picture, name)


def look(path: str | os.PathLike[str]) -> tuple[int, int, str]:
    """Width and height of a picture as it is seen, and its Pillow mode, from the head of its file.

    Raises:
        ImageError: no picture; what is damaged further on is not noticed.
    """
    name = f"'{os.fspath(path)}'"
    try:
        with Path(path).open("rb") as file:
            picture = _opened(file, name)
            width, height = picture.size
            turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except ImageError:
        raise
    except Exception as failure:  # of the file, or of its EXIF part
        raise ImageError(f"expected a whole picture, got {name}, which is damaged: {failure}") from failure
    return (height, width, picture.mode) if turned else (width, height, picture.mode)


def _opened(source: Any, name: str) -> Image.Image:
    """A picture whose pixels are not decoded yet, from a seekable stream."""
    brand = source.read(12)[4:]
    source.seek(0)
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of half its limit; above the limit it raises
            formats = (*FORMATS, "HEIF") if brand[:4] == b"ftyp" and _reads_heif() else FORMATS
            return Image.open(source, formats=formats)
    except Image.DecompressionBombError as failure:
        raise ImageError(f"expected a picture of ordinary size, got {name}: {failure}") from failure
    except Exception as failure:  # decoders raise what they like
        cure = next((cure for kind, cure in _CURES.items() if brand.startswith(b"ftyp" + kind)), "")
        got = f"expected a picture (JPEG, PNG, ...), got {name}, which is none"
        raise ImageError(f"cannot read {name}: {cure}" if cure else got) from failure


@cache
def _reads_heif() -> bool:
    """Whether the package that brings HEIC to Pillow is there; then it does so."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def fitted(picture: Image.Image, contract: InputContract) -> Pixels:
    """The second half of `to_pixels`: a decoded picture to RGB or grey, to size, to an array."""
    picture = _mode(picture, "L" if contract.channels == 1 else "RGB")
    picture = _resize(picture, contract)
    pixels = np.asarray(picture, np.uint8).reshape(1, *contract.shape)
    return np.ascontiguousarray(pixels)


def _scale_while_decoding(picture: Image.Image, side: int) -> None:
    """Have a JPEG decoded to a half or quarter, as long as both sides keep `side` pixels."""
    width, height = picture.size
    for factor in (4, 2):
        if min(width, height) >= factor * side and width % factor == height % factor == 0:
            picture.draft(None, (width // factor, height // factor))
            return


def _upright(picture: Image.Image, name: str) -> Image.Image:
    try:
        picture.load()
        if picture.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return picture  # of which exif_transpose would make a copy
        from PIL import ImageOps

        return ImageOps.exif_transpose(picture)
    except Exception as failure:
        raise ImageError(f"expected a whole picture, got {name}, which is damaged: {failure}") from failure


def _from_array(array: NDArray[Any]) -> Image.Image:
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not fits or 0 in array.shape:
        raise ImageError(
            "expected uint8 pixels (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), "
            f"got {array.dtype} {array.shape}"
        )
    return Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def _mode(picture: Image.Image, mode: str) -> Image.Image:
    transparent = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    if picture.mode == mode and not transparent:
        return picture
    if picture.mode.startswith("I;16"):
        # Pillow clips 16-bit grey to white; its upper byte is the picture.
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert(mode)
    if picture.mode in ("I", "F"):
        raise ImageError(f"expected 8- or 16-bit pixels, got a picture of mode '{picture.mode}' (32-bit)")
    if transparent:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    try:
        return picture.convert(mode)
    except ValueError as failure:
        raise ImageError(f"expected a grey or colour picture, got one of mode '{picture.mode}'") from failure


def _resize(picture: Image.Image, contract: InputContract) -> Image.Image:
    size = (contract.width, contract.height)
    if picture.size == size:
        return picture
    resample = _RESAMPLE[contract.resample]
    if contract.fit == "crop":
        from PIL import ImageOps

        return ImageOps.fit(picture, size, resample)
    if contract.fit == "letterbox":
        scale = min(size[0] / picture.width, size[1] / picture.height)
        inner = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        out = Image.new(picture.mode, size)
        out.paste(
            picture.resize(inner, resample),
            (round((size[0] - inner[0]) / 2), round((size[1] - inner[1]) / 2)),
        )
        return out
    return picture.resize(size, resample)
