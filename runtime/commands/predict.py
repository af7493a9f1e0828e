"""`edgewright predict`: labels for pictures."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console
from edgewright.runtime.errors import ImageError, InputError

if TYPE_CHECKING:
    from edgewright.runtime.pictures import Picture
    from edgewright.runtime.predictor import Prediction, Predictor, Threads

HELP = "label pictures with a bundle or one .tflite or .onnx file"

LONG = 50  # pictures, from which on there is a progress bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser._negative_number_matcher = re.compile(r"-\.?\d")  # else -1..1 is taken for an option
    parser.add_argument(
        "model", type=Path, metavar="BUNDLE|FILE", help="a bundle folder, a .tflite or an .onnx"
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="pictures (JPEG, PNG, ...), folders, globs, a .zip of pictures, or - for one on standard input",
    )
    parser.add_argument(
        "--top", type=int, default=3, metavar="K", help="how many classes (default: %(default)s)"
    )
    parser.add_argument(
        "--variant", help="which of the bundle's variants (default: the recommended one that runs here)"
    )
    parser.add_argument("--backend", help="the only one to use: litert or ort (default: what takes the file)")
    parser.add_argument(
        "--threads",
        type=_threads,
        default=1,
        metavar="N|auto",
        help="threads of the interpreter; auto measures once what is fastest here (default: %(default)s)",
    )
    parser.add_argument("--isolate", action="store_true", help="keep the interpreter in a process of its own")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a picture and line")
    form.add_argument("--csv", action="store_true", help="a row a class: image, rank, label, probability")
    foreign = parser.add_argument_group("a file that carries no contract")
    foreign.add_argument(
        "--labels", type=Path, metavar="FILE", help="a label a line in the order of the scores"
    )
    foreign.add_argument(
        "--input-range", choices=("0..1", "-1..1", "0..255"), help="what the network wants pixels brought to"
    )
    foreign.add_argument(
        "--mean",
        type=_numbers,
        metavar="A,B,C",
        help="instead: (pixel / 255 - mean) / std, one number or one a channel, as torchvision states them: "
        "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
    )
    foreign.add_argument("--std", type=_numbers, metavar="A,B,C", help="see --mean")


def _threads(text: str) -> Threads:
    try:
        return "auto" if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or auto, got '{text}'") from None


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between, got '{text}'") from None


def run(arguments: argparse.Namespace) -> int:
    from edgewright.runtime import pictures
    from edgewright.runtime.machine import threads
    from edgewright.runtime.predictor import load

    ends = arguments.input_range and tuple(float(end) for end in arguments.input_range.split(".."))
    labels = arguments.labels and _labels(arguments.labels)
    show = _json if arguments.json else _csv if arguments.csv else _text
    status = 0
    with load(
        arguments.model,
        threads=arguments.threads,
        variant=arguments.variant,
        backend=arguments.backend,
        labels=labels,
        input_range=ends,
        mean=arguments.mean,
        std=arguments.std,
        isolate=arguments.isolate,
    ) as predictor:
        for line in predictor.assumptions:
            console.complain(f"{arguments.model}: assumed: {line}")
        if arguments.top < 1:
            raise InputError(f"expected --top of at least 1, got {arguments.top}")
        if arguments.csv:
            console.say("image,rank,label,probability")
        each = 1 if arguments.threads == "auto" else arguments.threads  # of the cores
        workers = 1 if pictures.is_one_file(arguments.images) else max(1, threads.cores() // each)
        found = list(pictures.find(arguments.images))
        with console.progress("pictures", len(found) if len(found) >= LONG else 0) as bar:
            for name, outcome in _label(predictor, found, arguments.top, workers):
                if isinstance(outcome, ImageError):
                    text = str(outcome)  # of one from an archive it does not say which
                    console.complain(text if name in text else f"{name}: {text}")
                    status = 1
                for line in show(name, outcome):
                    console.say(line)
                bar.advance()
    return status


def _label(
    predictor: Predictor, found: Sequence[Picture], k: int, workers: int
) -> Iterator[tuple[str, list[Prediction] | ImageError]]:
    """The outcome of each picture, in order. One that cannot even be read takes its turn too."""
    waiting: deque[tuple[str, ImageError | None]] = deque()

    def sources() -> Iterator[str | bytes]:
        for picture in found:
            try:
                source = picture.read()
            except ImageError as failure:
                waiting.append((picture.name, failure))
                continue
            waiting.append((picture.name, None))
            yield source

    def unreadable() -> Iterator[tuple[str, ImageError]]:
        while waiting and (failure := waiting[0][1]):
            yield waiting.popleft()[0], failure

    for outcome in predictor.predict_many(sources(), k, workers=workers):
        yield from unreadable()
        name, _ = waiting.popleft()
        yield name, outcome if isinstance(outcome, list) else outcome.error
    yield from unreadable()


def _labels(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as failure:
        raise InputError(
            f"cannot read labels from {path}: {getattr(failure, 'strerror', failure)}"
        ) from failure


def _text(name: str, outcome: list[Prediction] | ImageError) -> list[str]:
    if isinstance(outcome, ImageError):
        return []
    return [f"{name}: " + ", ".join(f"{p.label} {p.probability:.3f}" for p in outcome)]


def _json(name: str, outcome: list[Prediction] | ImageError) -> list[str]:
    if isinstance(outcome, ImageError):
        return [json.dumps({"image": name, "error": str(outcome)})]
    return [json.dumps({"image": name, "predictions": [dataclasses.asdict(p) for p in outcome]})]


def _csv(name: str, outcome: list[Prediction] | ImageError) -> list[str]:
    if isinstance(outcome, ImageError):
        return []
    import csv
    import io

    memory = io.StringIO()
    rows = csv.writer(memory, lineterminator="\n")
    for rank, p in enumerate(outcome, 1):
        rows.writerow((_plain(name), rank, _plain(p.label), f"{p.probability:.6g}"))
    return memory.getvalue().splitlines()


def _plain(text: str) -> str:
    """A cell on one line: a row is a line, and a name may hold anything."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
