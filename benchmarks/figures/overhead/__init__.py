"""What the runtime adds to the interpreter under it: each figure a ratio, with its interval and its limit.

    python -m edgewright.benchmarks.figures.overhead BUNDLES --cifar10 cifar10.npz --out DIR

BUNDLES holds the bundles `mnist-cnn`, `mnist-mobilenetv2` and `cifar10-resnet8`. The other side of each
ratio is written out by hand in `bare.py` and runs in the same process, in turn with the runtime; cold
starts are processes in turn. It takes five minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import collections
import io
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgewright.benchmarks.figures import interleaved, publish, script
from edgewright.benchmarks.figures.overhead import apart, bare
from edgewright.benchmarks.figures.photos import PHONE, Camera
from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.record.stats import Estimate, paired_ratio
from edgewright.export.proof.interval import score_interval
from edgewright.runtime import InputContract, Predictor, console, load, trust
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import files
from edgewright.runtime.errors import InputError
from edgewright.runtime.machine.threads import cores
from edgewright.runtime.preprocess import to_pixels

SMALL, LARGE, COLOUR = "mnist-cnn", "mnist-mobilenetv2", "cifar10-resnet8"
PICTURE = (500, 375)
SECONDS = 6.0  # for each ratio of calls
PAIRS = 30  # of processes
MANY, PARTS = 10_000, 10  # pictures for `predict_many`, in parts that take turns


@dataclass(frozen=True, kw_only=True)
class Row:
    """A ratio to what `against` names, with the interval of `stats.paired_ratio` but where its maker says
    another, and the limit, which it is to be `at most` or `at least`; of a model `file`, and pictures of a
    data set."""

    name: str
    against: str
    ratio: Estimate
    limit: float
    sense: str = "at most"
    reason: str = ""
    file: Path | None = None
    data_sha256: str = ""

    @property
    def verdict(self) -> str:
        return publish.verdict(self.ratio, self.limit, self.sense)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "against": self.against,
            **publish.ratio(self.ratio, 4),
            "sense": self.sense,
            "limit": self.limit,
            "met": self.verdict == "met",
            "verdict": self.verdict,
            "reason": "" if self.verdict == "met" else self.reason,
            **({} if self.file is None else {"file_sha256": files.sha256_of(self.file)}),
            **({"data_sha256": self.data_sha256} if self.data_sha256 else {}),
        }


class Models:
    """The bundles, and the pictures that are shown to them."""

    def __init__(self, folder: Path, images: NDArray[np.uint8], data_sha256: str = "") -> None:
        """`images` are uint8 `(n, 32, 32, 3)` of a data set."""
        self.data_sha256 = data_sha256
        self._bundles = {name: Bundle.open(folder / name) for name in (SMALL, LARGE, COLOUR)}
        self.images = images

    def file(self, bundle: str, variant: str, instead: str = "") -> Path:
        """The file of a variant; where the gate has refused that, of the one `instead`.

        Raises:
            UnknownNameError: the bundle has neither.
        """
        opened = self._bundles[bundle]
        held = {entry.name for entry in opened.manifest.variants}
        path = opened.path(opened.variant(variant if variant in held else instead or variant).file)
        trust.remember(path)
        return path

    def labels(self, bundle: str) -> Path:
        return self._bundles[bundle].folder / "labels.txt"


def sessions(models: Models) -> Iterator[Row]:
    """`Session.run` against the interpreters' own calls."""
    tflite = ((bare.litert, "set_tensor, invoke, get_tensor"),)
    onnx = ((bare.onnx_run, "InferenceSession.run"), (bare.onnx_bound, "run_with_iobinding"))
    for bundle, variant, others, limit in (
        (SMALL, "tflite-int8", tflite, 1.15),
        (LARGE, "tflite-int8", tflite, 1.02),
        (LARGE, "tflite-float32", tflite, 1.02),
        (SMALL, "onnx-int8", onnx, 1.10),
        (SMALL, "onnx-float32", onnx, 1.10),
        (LARGE, "onnx-int8", onnx, 1.02),
        (LARGE, "onnx-float32", onnx, 1.02),
    ):
        path = models.file(bundle, variant, instead=variant.replace("-int8", "-dynamic-int8"))
        for by_hand, against in others:

            def opened(
                path: Path = path, by_hand: Callable[[Path], bare.Run] = by_hand
            ) -> tuple[interleaved.Work, interleaved.Work]:
                session, other = load(path).session, by_hand(path)
                pixels = np.random.default_rng(0).integers(0, 256, session.input.shape, np.uint8)
                return partial(session.run, pixels), partial(other, pixels)

            ratio = interleaved.over_openings(opened, SECONDS)
            name = f"Session.run, {bundle} {path.stem}"
            yield Row(name=name, against=against, ratio=ratio, limit=limit, file=path)


def pictures(models: Models) -> Iterator[Row]:
    """`predict` of encoded pictures against Pillow's decoding and resizing, and the interpreter's calls."""
    for (size, what, limit), bundle in itertools.product(
        ((PICTURE, "500-pixel JPEG", 1.03), (PHONE, "12-megapixel JPEG", 0.30)), (LARGE, COLOUR)
    ):
        path = models.file(bundle, "tflite-int8", instead="tflite-float32")
        raw = Camera(size).take(models.images[0])

        def opened(path: Path = path, raw: bytes = raw) -> tuple[interleaved.Work, interleaved.Work]:
            predictor, run = load(path), bare.litert(path)
            shape = predictor.contract.input.shape
            return lambda: predictor.predict(raw), lambda: run(bare.pixels_of(raw, *shape))

        floor = None
        if size == PHONE:
            floor = Row(
                name=f"reading the stream and running the model alone, the floor for {bundle} {path.stem}",
                against="Pillow decode and resize, set_tensor, invoke, get_tensor",
                ratio=interleaved.over_openings(partial(_floor, path, raw), SECONDS),
                limit=limit,
                file=path,
                data_sha256=models.data_sha256,
            )
            yield floor
        yield Row(
            name=f"predict({what}), {bundle} {path.stem}",
            against="Pillow decode and resize, set_tensor, invoke, get_tensor",
            ratio=interleaved.over_openings(opened, SECONDS),
            limit=limit,
            reason="" if floor is None else f"the stream and the model alone take {floor.ratio.value:.3f}",
            file=path,
            data_sha256=models.data_sha256,
        )
    at_224 = InputContract(height=224, width=224, channels=3)
    raw = Camera(PHONE).take(models.images[0])
    yield Row(
        name="pixels of a 12-megapixel JPEG at 224x224",
        against="Pillow decode and resize",
        ratio=interleaved.over_openings(
            lambda: (lambda: to_pixels(raw, at_224), lambda: bare.pixels_of(raw, *at_224.shape)), SECONDS
        ),
        limit=0.30,
        data_sha256=models.data_sha256,
    )


def _floor(path: Path, raw: bytes) -> tuple[interleaved.Work, interleaved.Work]:
    """What is left of `predict` if a photo's stream is only read, which no decoder can leave out."""
    run = bare.litert(path)
    shape = load(path).contract.input.shape
    pixels = bare.pixels_of(raw, *shape)

    def read() -> None:
        picture = Image.open(io.BytesIO(raw))
        picture.draft("L", (picture.width // 8, picture.height // 8))  # the mean of each block, no colours
        picture.load()
        run(pixels)

    return read, lambda: run(bare.pixels_of(raw, *shape))


def agreement(models: Models, count: int) -> Iterator[Row]:
    """How many large photos get the class they get when they are decoded whole, and how many do of those
    where one pixel value in fifty is changed by one.

    A photo between two classes turns on next to nothing. A float file is to keep 995 of 1,000, with Wilson's
    interval; one of 8 bits, in which such a change alone turns more, not fewer than with that change, by
    Tango's interval of the paired difference, told as a ratio.
    """
    camera, random = Camera(PHONE), np.random.default_rng(0)
    exact_file, small_file = (models.file(COLOUR, name) for name in ("tflite-float32", "tflite-int8"))
    with load(exact_file) as exact, load(small_file) as small:
        shape = small.contract.input.shape
        nudges = random.choice(np.array([-1, 0, 1]), (count, 1, *shape), p=[0.01, 0.98, 0.01])

        def kept(image: NDArray[np.uint8], nudge: NDArray[np.int64]) -> tuple[bool, ...]:
            raw = camera.take(image)
            whole, scaled = bare.pixels_of(raw, *shape), to_pixels(raw, small.contract.input)
            nudged = np.clip(whole + nudge, 0, 255).astype(np.uint8)
            pairs = ((exact, scaled), (small, scaled), (exact, nudged), (small, nudged))
            return tuple(bool(p.scores(pixels).argmax() == p.scores(whole).argmax()) for p, pixels in pairs)

        with ThreadPoolExecutor(cores()) as pool:
            kept_by_photo = list(pool.map(kept, models.images[:count], nudges))
    float_kept, int8_kept, float_control, int8_control = map(list, zip(*kept_by_photo, strict=True))
    told = f"with one pixel value in fifty changed by one, {sum(float_control)} of them keep it"
    common: dict[str, Any] = {"limit": 0.995, "sense": "at least", "data_sha256": models.data_sha256}
    name = f"top class of {count} photos of 12 megapixels, {COLOUR}"
    yield Row(
        name=f"{name} tflite-float32",
        against="the class of the photo decoded whole",
        ratio=wilson(sum(float_kept), count),
        reason=told if sum(float_control) <= sum(float_kept) else "",  # else the control does not carry it
        file=exact_file,
        **common,
    )
    yield Row(
        name=f"{name} tflite-int8: {sum(int8_kept)} keep that of the photo decoded whole",
        against=f"{sum(int8_control)} with one pixel value in fifty changed by one",
        ratio=paired_share(int8_kept, int8_control),
        file=small_file,
        **common | {"limit": 1.0},
    )


def paired_share(ours: Sequence[bool], control: Sequence[bool]) -> Estimate:
    """How many times the share of `control` that of `ours` is, with Tango's interval of their difference.

    Args:
        ours, control: whether each photo keeps its class; at least one of `control` does.
    """
    lost = sum(c and not o for o, c in zip(ours, control, strict=True))
    won = sum(o and not c for o, c in zip(ours, control, strict=True))
    low, high = score_interval(lost, won, len(ours))
    share = sum(control) / len(control)
    return Estimate(value=1 - (lost - won) / sum(control), low=1 - high / share, high=1 - low / share)


def wilson(right: int, count: int) -> Estimate:
    """A share and its 95 % score interval (Wilson, 1927)."""
    z, share = 1.959963984540054, right / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    return Estimate(value=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


def starts(models: Models, scratch: Path) -> Iterator[Row]:
    """A cold start of the command line against a script, and the import of the runtime against numpy's."""
    # Installed packages are compiled; a checkout of which Python may write nothing would compile each time.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(scratch / "compiled")}
    picture = scratch / "picture.jpg"
    picture.write_bytes(Camera(PICTURE).take(models.images[0]))
    for variant, code in (("tflite-int8", bare.LITERT_SCRIPT), ("onnx-int8", bare.ONNX_SCRIPT)):
        file = models.file(SMALL, variant)
        words = [str(file), str(picture)]
        behind: dict[str, Any] = {"file": file, "data_sha256": models.data_sha256}
        ours = [sys.executable, "-P", "-m", "edgewright.runtime", "predict", *words]
        by_hand = [sys.executable, "-P", "-c", code, *words, str(models.labels(SMALL))]
        wall, peak = interleaved.processes(ours, by_hand, PAIRS, compiled)
        name = f"cold start of predict FILE IMAGE, {SMALL} {variant}"
        yield Row(name=f"{name}: wall time", against="a ten-line script", ratio=wall, limit=1.25, **behind)
        yield Row(name=f"{name}: peak memory", against="a ten-line script", ratio=peak, limit=1.10, **behind)
    ratios, both = [], ("from edgewright.runtime import load", "import numpy, PIL.Image")
    for turn in range(PAIRS + 1):
        taken = {code: _import_seconds(code, compiled) for code in both[:: 1 if turn % 2 else -1]}
        ratios.append(taken[both[0]] / taken[both[1]])
    yield Row(
        name=both[0],
        against=both[1],
        ratio=paired_ratio(ratios[1:]),  # the first compiles
        limit=1.30,
    )


def _import_seconds(code: str, surroundings: dict[str, str]) -> float:
    timed = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    return float(script.python(["-c", timed], "the import", surroundings))


def many(models: Models) -> Iterator[Row]:
    """`predict_many` on two workers against one, as so many times the pictures a second."""
    camera = Camera(PICTURE)
    encoded = [camera.take(image) for image in models.images[:100]]
    ratios, path = [], models.file(LARGE, "tflite-int8", instead="tflite-float32")
    with load(path) as predictor:
        _seconds_for(predictor, encoded, 100, 2)
        for turn in range(PARTS):
            order = (1, 2) if turn % 2 else (2, 1)
            taken = {workers: _seconds_for(predictor, encoded, MANY // PARTS, workers) for workers in order}
            ratios.append(taken[1] / taken[2])
    yield Row(
        name=f"predict_many of {MANY:,} 500-pixel JPEGs on 2 cores, {LARGE} {path.stem}",
        against="one thread (times as fast)",
        ratio=paired_ratio(ratios),
        limit=1.8,
        sense="at least",
        reason=f"{cores()} core" if cores() < 2 else "",
        file=path,
        data_sha256=models.data_sha256,
    )


def _seconds_for(predictor: Predictor, encoded: Sequence[bytes], count: int, workers: int) -> float:
    stream = itertools.islice(itertools.cycle(encoded), count)
    start = time.perf_counter()
    collections.deque(predictor.predict_many(stream, workers=workers), maxlen=0)
    return time.perf_counter() - start


def isolated(models: Models) -> Iterator[Row]:
    """A call of a file that nobody vouched for, in microseconds more than here."""
    for bundle, variant in ((SMALL, "tflite-int8"), (SMALL, "onnx-int8"), (COLOUR, "tflite-int8")):
        path = models.file(bundle, variant)
        yield Row(
            name=f"Session.run in the process apart, {bundle} {variant}: microseconds more",
            against="Session.run in this process",
            ratio=apart.added(path),
            limit=100,
            file=path,
        )


def soak(models: Models, minutes: float) -> Iterator[Row]:
    """Resident memory at the end of so many minutes of `predict_many`, against that after a fifth of them.

    It is one run: the interval is from its smallest to its largest figure.
    """
    path = models.file(COLOUR, "tflite-int8")
    words = [str(path), str(minutes)]
    told = json.loads(
        script.python(["-m", "edgewright.benchmarks.figures.overhead.soaking", *words], "the soak")
    )
    resident = told["resident_bytes"]
    tenth = max(1, len(resident) // 10)
    first, last = statistics.median(resident[:tenth]), statistics.median(resident[-tenth:])
    yield Row(
        name=f"resident memory after {minutes:g} minutes of predict_many "
        f"({told['pictures']:,} pictures), {COLOUR} tflite-int8",
        against=f"after {minutes / 5:g} minutes",
        ratio=Estimate(value=last / first, low=min(resident) / first, high=max(resident) / first),
        limit=1.02,
        file=path,
    )


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", type=Path, help=f"a folder with the bundles {SMALL}, {LARGE}, {COLOUR}")
    parser.add_argument("--cifar10", type=Path, required=True, help="the data set as .npz, for photos of it")
    parser.add_argument("--photos", type=int, default=500, help="how many (default: %(default)s)")
    parser.add_argument(
        "--soak-minutes", type=float, default=0.5, help="how long memory is watched (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    try:
        with np.load(arguments.cifar10, allow_pickle=False) as data:
            images = data["x_test"]
    except (OSError, ValueError, KeyError) as failure:
        raise InputError(
            f"expected CIFAR-10 with x_test in {arguments.cifar10}, got none ({failure})"
        ) from failure
    surroundings = environment.describe()
    models = Models(arguments.bundles, images, files.sha256_of(arguments.cifar10))
    rows: list[Row] = []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        first = (
            starts(models, Path(folder)),
            sessions(models),
            isolated(models),
            pictures(models),
            many(models),
        )
        rest = (agreement(models, arguments.photos), soak(models, arguments.soak_minutes))
        for row in itertools.chain(*first, *rest):
            rows.append(row)
            f = row.ratio
            console.say(
                f"{time.perf_counter() - start:4.0f} s  {f.value:.3f} [{f.low:.3f}, {f.high:.3f}], "
                f"{row.sense} {row.limit:g}{'' if row.verdict == 'met' else f' ({row.verdict})'}: {row.name}"
            )
    publish.write(arguments.out / "runtime.json", surroundings, [row.to_json() for row in rows])
    return 0
