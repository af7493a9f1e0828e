"""Small projects that run a model file, one folder a language: each sets `PROJECT`.

What runs is written once, in the language's own source files beside its `__init__.py`; what is this model's -
sizes, kind of scores, quantization - is filled into one file of numbers, and labels are data: nothing that a
bundle says becomes code. `edgewright how-to` prints the same files.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from edgewright.apps.facts import Given
from edgewright.runtime import plugins
from edgewright.runtime.bundle.manifest import Bundle, Manifest, VariantEntry
from edgewright.runtime.errors import BundleError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgewright.runtime.contract import InputContract

# Sides and EXIF orientations of the pictures that a project's own test brings to size.
_PICTURES: tuple[tuple[int, int, int], ...] = (
    (1, 1, 1),
    (5, 7, 6),
    (64, 48, 1),
    (97, 61, 3),
    (150, 33, 8),
    (33, 150, 5),
    (128, 128, 7),
)
_PICTURES += ((301, 203, 4), (203, 301, 2))
_MOST_BYTES = 2**22  # of what comes of them; there is one at least
_MOST_VALUES = 2**22  # of an input: a page of 2,000 by 2,000


@dataclass(frozen=True, kw_only=True)
class Goldens:
    """What the bundle recorded: `images` uint8 `(n, height, width, channels)`, the file's `scores` float32
    `(n, scores)`, and how far scores of another machine may be from them, with the same decision."""

    images: NDArray[np.uint8]
    scores: NDArray[np.float32]
    tolerance: float


@dataclass(frozen=True, kw_only=True)
class App:
    """All that a project is made of: a variant of a bundle, its file's bytes, and what was recorded of it."""

    manifest: Manifest
    variant: VariantEntry
    model: bytes
    goldens: Goldens

    @property
    def labels(self) -> tuple[str, ...]:
        return self.manifest.labels

    @property
    def given(self) -> Given:
        return Given(manifest=self.manifest, variant=self.variant)

    @property
    def model_file(self) -> str:
        """What the model file is called in the project, whatever the bundle calls it."""
        return f"model{self.given.suffix}"

    def labels_file(self) -> bytes:
        """A label a line. What would break a line is a blank: there are as many lines as labels."""
        return "".join(f"{' '.join(label.splitlines())}\n" for label in self.labels).encode("utf-8")

    @cached_property
    def parity(self) -> dict[str, bytes]:
        """What a test on the user's own machines holds its results against; numbers are little-endian.

        `golden-images.bin`: the golden images, as the file takes them. `golden-scores.bin`: float32, the
        scores that it gave. `golden-answers.bin`: float32, what they mean, a probability a label (of an
        embedding the scores). `pictures.bin`: one after the other int32 width, height and EXIF orientation of
        a decoded picture, its RGBA pixels, and the pixels that `preprocess.py` makes of it.
        """
        head, goldens = self.given.head, self.goldens
        answers = goldens.scores if head.is_embedding else head.probabilities(goldens.scores)
        return {
            "golden-images.bin": goldens.images.tobytes(),
            "golden-scores.bin": goldens.scores.astype("<f4").tobytes(),
            "golden-answers.bin": answers.astype("<f4").tobytes(),
            "pictures.bin": pictures(self.manifest.input),
        }


class Project(Protocol):
    """A language: which model files it runs, and the files of a project for one."""

    suffixes: tuple[str, ...]

    def files(self, app: App) -> dict[str, bytes]:
        """The project's files by their paths in it, with slashes. The same app gives the same bytes."""
        ...


def names() -> tuple[str, ...]:
    """The languages there are."""
    return plugins.names(__name__)


def get(language: str) -> Project:
    """Raises `UnknownNameError`."""
    project: Project = plugins.get(__name__, language, "PROJECT")
    return project


def smallest(manifest: Manifest, suffixes: tuple[str, ...], what: str) -> VariantEntry:
    """The smallest variant that is proven and whose file has one of these suffixes.

    Raises:
        BundleError: there is none for `what`.
    """
    fitting = [v for v in manifest.variants if v.file.file.endswith(suffixes)]
    proven = [v for v in fitting if v.parity.is_proven]
    if not proven:
        got = f"none that is proven; name one by --variant: {fitting[0].name}" if fitting else "none"
        raise BundleError(f"expected a {' or '.join(suffixes)} file for {what} in the bundle, got {got}")
    return min(proven, key=lambda variant: variant.file.bytes)


def check(
    manifest: Manifest, variant: VariantEntry, suffixes: tuple[str, ...], what: str, *, one_image: bool = True
) -> None:
    """See that a file can be what a project for `what` runs: of its kind, an image in (one at a time with
    `one_image`), scores out.

    Raises:
        BundleError: it is another, or the manifest contradicts itself.
    """
    file, given = variant.file.file, Given(manifest=manifest, variant=variant)
    if not file.endswith(suffixes):
        raise BundleError(
            f"expected a {' or '.join(suffixes)} file for {what}, got {file}; export one with --variants"
        )
    if variant.input.shape != (1, *manifest.input.shape) and one_image:
        raise BundleError(
            f"expected a file that takes one image at a time, got {file}; export without --batch"
        )
    if variant.input.dtype not in ("uint8", "float32") or variant.output.dtype not in ("uint8", "float32"):
        raise BundleError(
            f"expected a file of uint8 or float32 edges, got {file} of {variant.input.dtype} and "
            f"{variant.output.dtype}"
        )
    shape = variant.output.shape
    if len(shape) != 2 or shape[1] < 1 or given.head.labels != len(manifest.labels):
        raise BundleError(
            f"expected a score a label, got {file} with scores {shape} and "
            f"{len(manifest.labels)} labels; export it again"
        )
    output = variant.output
    if output.dtype == "uint8" and not (0 < output.scale < 1e6 and 0 <= output.zero_point < 256):
        raise BundleError(
            f"expected scores of 8 bits with a scale and a zero point, got {file} with {output.scale:g} and "
            f"{output.zero_point}; export it again"
        )
    if manifest.input.height * manifest.input.width > _MOST_VALUES:
        raise BundleError(
            f"expected images of at most {_MOST_VALUES:,} pixels for an app, got {file} of "
            f"{manifest.input.width}x{manifest.input.height}"
        )


def app(bundle: Bundle, variant: VariantEntry) -> App:
    """What a project of one variant is made of, each file of it as the manifest says.

    Raises:
        BundleError: a file is damaged, or the arrays are not what the manifest promises.
    """
    from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

    _, model = bundle.read(variant.file)
    golden = read_golden(bundle)
    goldens = Goldens(
        images=golden[GOLDEN_INPUTS],
        scores=golden[variant.name],
        tolerance=variant.tolerance.max_abs_elsewhere,
    )
    return App(manifest=bundle.manifest, variant=variant, model=model, goldens=goldens)


def pictures(contract: InputContract, sides: tuple[tuple[int, int, int], ...] = _PICTURES) -> bytes:
    """Pictures `(width, height, EXIF orientation)` as `App.parity` has them: the same ones everywhere, of an
    arithmetic pattern, every third transparent."""
    size = contract.height * contract.width * contract.channels
    return b"".join(
        picture(_pattern(width, height, number % 3 == 2), orientation, contract)
        for number, (width, height, orientation) in enumerate(sides[: max(1, _MOST_BYTES // size)])
    )


def picture(pixels: NDArray[np.uint8], orientation: int, contract: InputContract) -> bytes:
    """One of `App.parity`'s pictures: RGBA pixels `(height, width, 4)` as they are decoded, and what comes of
    them."""
    from PIL import ExifTags, Image

    from edgewright.runtime.preprocess import to_pixels

    decoded = Image.fromarray(pixels)
    decoded.getexif()[ExifTags.Base.Orientation] = orientation
    height, width, _ = pixels.shape
    head = struct.pack("<3i", width, height, orientation)
    return head + pixels.tobytes() + to_pixels(decoded, contract).tobytes()


def _pattern(width: int, height: int, transparent: bool) -> NDArray[np.uint8]:
    import numpy as np

    y, x, c = np.ogrid[:height, :width, :4]
    found = ((x * x * (c + 1) + 3 * x * y + 7 * y * (c + 2)) // (c + 3)) % 256
    if not transparent:
        found = np.where(c == 3, 255, found)
    pixels: NDArray[np.uint8] = found.astype(np.uint8)
    return pixels
