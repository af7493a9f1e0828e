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

What was scaled so is resized in floating point. Pillow rounds to whole values between its two passes; of a
quarter of the rows four times fewer even that out, and 4.3 % of the values of a photo at 32 pixels came out
one off, now 2.7 %: the whole photo's own roundings turn 2.3 %. A grey picture of it takes the file's own
luma, without its colours: what Pillow makes of the RGB is the same but where colours leave the RGB cube.
"""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from edgewright.runtime.contract import InputContract
from edgewright.runtime.disk import outside
from edgewright.runtime.errors import ImageError

if TYPE_CHECKING:
    Pixels: TypeAlias = NDArray[np.uint8]

Box: TypeAlias = tuple[float, float, float, float]
ImageSource: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | NDArray[Any]

# Pillow also opens formats that it hands to other programs (EPS to Ghostscript) or that are no pictures.
# They are tried in this order; from WEBP on Pillow has to load its plugins first. HEIC comes from the package
# pillow_heif, where that is installed.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "AVIF")
_CURES = {
    b"avif": "AVIF pictures need Pillow 11.3 or newer; run: pip install --upgrade pillow",
    b"hei": "HEIC pictures need the package pillow-heif; run: pip install pillow-heif",
}

MAX_PIXELS = 178_956_970  # of an RGB picture 683 MiB; Pillow's limit is the same
_BAND = 2**20  # pixels that are converted at a time
# Bytes a pixel, as Pillow holds it and as decoders do beside that; measured with Pillow 12.
_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_DECODER = {"WEBP": 12, "AVIF": 12, "HEIF": 12, "TIFF": 4}

_SCALED = "edgewright_scaled"  # in `info`, which Pillow hands on: resize in floating point
MARGIN = 3  # with 2.7 times the size left, single pixels differed by 10
_SMOOTH = ("bilinear", "bicubic", "lanczos")

_opening = threading.Lock()  # warnings can only be silenced for all threads at once
if hasattr(os, "register_at_fork"):  # of a thread that is not there in the child

    def _forked() -> None:
        global _opening
        _opening = threading.Lock()

    os.register_at_fork(after_in_child=_forked)

_RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def to_pixels(image: ImageSource, contract: InputContract, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Turn a picture into what `Session.run` takes.

    Args:
        image: a path, the bytes of an image file, a Pillow image, or an array `(H, W)`, `(H, W, 1)`,
            `(H, W, 3)` or `(H, W, 4)` of uint8.
        contract: the size, channels and fit to produce.
        max_pixels: what may be held at once of a file, all copies and the decoder's own counted, in pixels
            of 4 bytes: so many of an opaque RGB picture, half as many of one that is turned or transparent.
            A JPEG counts as large as it is decoded.

    Returns:
        uint8 `(1, height, width, channels)`, C-contiguous, 0-255, RGB or grey.

    Raises:
        ImageError: no picture, a damaged or too large one, one for which there is no memory, or an array of
            another dtype or shape.
    """
    try:
        return _to_pixels(image, contract, max_pixels)
    except MemoryError as failure:
        name = f"'{os.fspath(image)}'" if isinstance(image, str | os.PathLike) else "the image"
        raise ImageError(f"expected a picture that fits into memory, got {name}, which does not") from failure


def _to_pixels(image: ImageSource, contract: InputContract, max_pixels: int) -> Pixels:
    if isinstance(image, np.ndarray):
        if image.dtype == np.uint8 and image.shape == contract.shape:
            return np.ascontiguousarray(image[np.newaxis])
        picture = _from_array(image)
    elif isinstance(image, Image.Image):
        picture = _upright(image, "the image")
    else:
        picture = decode(image, contract, max_pixels)
    return fitted(picture, contract)


def decode(
    image: str | os.PathLike[str] | bytes, contract: InputContract, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """The first half of `to_pixels` for a file: decoded, upright, a large JPEG scaled down on the way.

    Raises:
        ImageError: no picture, a damaged one, or too large a one.
    """
    if isinstance(image, bytes):
        name, source = "the image", io.BytesIO(image)
    else:
        name = f"'{os.fspath(image)}'"
        source = io.BytesIO(outside.read(image, ImageError, outside.MAX_PICTURE_BYTES, name))
    picture = _opened(source, name)
    pixels = picture.width * picture.height
    try:
        if contract.resample in _SMOOTH:
            _scale_while_decoding(picture, contract)
        if pixels > max_pixels // 8:  # what is smaller passes however it is held
            _check_size(picture, source, contract, pixels, max_pixels, name)
    except (ImageError, MemoryError):
        raise
    except Exception as failure:  # decoders raise what they like, readers of EXIF too
        raise ImageError(f"expected a whole picture, got {name}, which is damaged: {failure}") from failure
    return _upright(picture, name)


def _check_size(
    picture: Image.Image,
    source: io.BytesIO,
    contract: InputContract,
    full: int,
    max_pixels: int,
    name: str,
) -> None:
    """See that what is held at once to decode, turn and convert a picture, once `full` pixels, fits in."""
    pixels, stored = picture.width * picture.height, _STORED.get(picture.mode, 4)
    wanted = "L" if contract.channels == 1 else "RGB"
    decoding = pixels * _DECODER.get(picture.format or "", 0)
    if picture.format in ("JPEG", "MPO") and _keeps_coefficients(picture, source):
        decoding = full * 2 * _components(picture)
    turned = _orientation(picture) != 1
    converted = picture.mode != wanted or "transparency" in picture.info
    resized = 5 if picture.info.get(_SCALED) is True else 0  # one of its bands, also in floating point
    copies = pixels * max(stored if turned else 0, _STORED.get(wanted, 4) if converted else 0, resized)
    held = -(-(pixels * stored + max(decoding, copies)) // 4)
    if held > max_pixels or full > 4 * max_pixels:  # decoding to a quarter still reads all of it
        raise ImageError(
            f"expected a picture of ordinary size, got {name} of {full:,} pixels, for which memory of "
            f"{held:,} is needed and {max_pixels:,} allowed; make it smaller or raise max_pixels"
        )


def _keeps_coefficients(picture: Image.Image, source: io.BytesIO) -> bool:
    """Whether a JPEG comes in several scans: its decoder then holds all of it at full size, 2 bytes each."""
    if picture.info.get("progressive") or picture.info.get("progression"):
        return True
    raw, place = source.getbuffer(), 2
    while place + 5 <= len(raw) and raw[place] == 0xFF:
        if raw[place + 1] == 0xDA:  # the first scan, which says of how many of the colours it is
            return bool(raw[place + 4] < _components(picture))
        place += 1 if raw[place + 1] == 0xFF else 2 + (raw[place + 2] << 8) + raw[place + 3]
    return True


def _components(picture: Image.Image) -> int:
    """Of a JPEG's file, however many of them are decoded."""
    return int(getattr(picture, "layers", 0)) or len(picture.getbands())


def look(path: str | os.PathLike[str]) -> tuple[int, int, str]:
    """Width and height of a picture as it is seen, and its Pillow mode, from the head of its file.

    Raises:
        ImageError: no picture; what is damaged further on is not noticed.
    """
    name = f"'{os.fspath(path)}'"
    try:
        with outside.opened(path, ImageError, outside.MAX_PICTURE_BYTES, name) as file:
            picture = _opened(file, name)
            width, height = picture.size
            turned = _orientation(picture) in (5, 6, 7, 8)
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
            warnings.simplefilter("ignore")
            return _by_format(source, brand)
    except MemoryError:
        raise
    except Exception as failure:  # decoders raise what they like
        cure = next((cure for kind, cure in _CURES.items() if brand.startswith(b"ftyp" + kind)), "")
        got = f"expected a picture (JPEG, PNG, ...), got {name}, which is none"
        raise ImageError(f"cannot read {name}: {cure}" if cure else got) from failure


def _by_format(source: Any, brand: bytes) -> Image.Image:
    """`Image.open` without its limit, which counts pixels that need not be decoded and is the same for all.
    Raises what decoders raise, and `ValueError` if none takes it."""
    prefix = source.read(16)
    formats = (*FORMATS, "HEIF") if brand[:4] == b"ftyp" and _reads_heif() else FORMATS
    Image.preinit()
    for name in formats:
        if name not in Image.OPEN:
            Image.init()
        factory, accept = Image.OPEN.get(name, (None, None))
        taken = accept(prefix) if accept is not None else True
        if factory is None or not taken or isinstance(taken, str):  # a text says what it lacks
            continue
        source.seek(0)
        try:
            return factory(source, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue
    raise ValueError("no decoder takes it")


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


def _scale_while_decoding(picture: Image.Image, contract: InputContract) -> None:
    """Have a JPEG decoded to a half or quarter, as long as both sides keep `MARGIN` times the model's; for a
    grey model without its colours."""
    (width, height), side = picture.size, MARGIN * max(contract.height, contract.width)
    for factor in (4, 2):
        if min(width, height) >= factor * side and width % factor == height % factor == 0:
            picture.draft("L" if contract.channels == 1 else None, (width // factor, height // factor))
            if picture.size != (width, height):
                picture.info[_SCALED] = True
            return


def _orientation(picture: Image.Image) -> Any:
    """As EXIF has it; 1 is upright. To find none takes Pillow half as long as to open the file."""
    if picture.format == "JPEG" and not picture.info.keys() & {"exif", "xmp"}:
        return 1
    return picture.getexif().get(ExifTags.Base.Orientation, 1)


def _upright(picture: Image.Image, name: str) -> Image.Image:
    try:
        picture.load()
        if _orientation(picture) == 1:
            return picture  # of which exif_transpose would make a copy
        from PIL import ImageOps

        return ImageOps.exif_transpose(picture)
    except MemoryError:
        raise
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
    in_bands = picture.height > 1 and picture.width * picture.height > _BAND
    if in_bands and (transparent or picture.mode.startswith("I;16")):
        whole = Image.new(mode, picture.size)
        rows = max(1, _BAND // picture.width)
        for top in range(0, picture.height, rows):
            band = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
            whole.paste(_mode(band, mode), (0, top))
        return whole
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
    size, (width, height) = (contract.width, contract.height), picture.size
    if picture.size == size:
        return picture
    whole = (0.0, 0.0, float(width), float(height))
    if contract.fit == "crop":
        return _resampled(picture, size, contract, _middle(whole, size[0] / size[1]))
    if contract.fit == "letterbox":
        scale = min(size[0] / width, size[1] / height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        out = Image.new(picture.mode, size)
        out.paste(
            _resampled(picture, inner, contract, whole),
            (round((size[0] - inner[0]) / 2), round((size[1] - inner[1]) / 2)),
        )
        return out
    return _resampled(picture, size, contract, whole)


def _middle(box: Box, ratio: float) -> Box:
    """Of a picture the largest part of this width to height, as `ImageOps.fit` takes it."""
    _, _, width, height = box
    inner = (ratio * height, height) if width / height >= ratio else (width, width / ratio)
    left, top = (width - inner[0]) * 0.5, (height - inner[1]) * 0.5
    return left, top, left + inner[0], top + inner[1]


def _resampled(picture: Image.Image, size: tuple[int, int], contract: InputContract, box: Box) -> Image.Image:
    """`Image.resize`; of what was scaled while decoding in floating point, clipped as Pillow does."""
    resample = _RESAMPLE[contract.resample]
    if picture.info.get(_SCALED) is not True:  # a file may bring a text of that name
        return picture.resize(size, resample, box)
    left, top, right, bottom = box
    bands = []
    for name in picture.getbands():
        band = picture.getchannel(name).convert("F")
        band = band.resize((size[0], band.height), resample, (left, 0, right, band.height))
        band = Image.fromarray(np.clip(np.asarray(band), 0, 255))
        band = band.resize(size, resample, (0, top, size[0], bottom))
        bands.append(Image.fromarray(np.clip(np.asarray(band) + 0.5, 0, 255.5).astype(np.uint8)))
    return Image.merge(picture.mode, bands)
