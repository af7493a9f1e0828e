"""`edgewright predict`: labels for pictures."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from edgewright.runtime import console
from edgewright.runtime.commands import _foreign
from edgewright.runtime.errors import ImageError, InputError

if TYPE_CHECKING:
    from edgewright.runtime.backends import Scores
    from edgewright.runtime.predictor import Prediction, Threads

    Outcome: TypeAlias = list[Prediction] | Scores | ImageError

HELP = "label pictures with a bundle or one .tflite or .onnx file"

_COLUMNS = ("rank", "label", "probability")
LONG = 50  # pictures, from which on there is a progress bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--backend", help="the only one to use: litert or ort (default: what takes the file)")
    which.add_argument(
        "--engine",
        metavar="NAME",
        help="what computes, such as openvino, ort:CUDAExecutionProvider, openvino:GPU@f16; fastest: what "
        "edgewright tune found fastest here, with its variant and threads",
    )
    parser.add_argument(
        "--may", metavar="ARITHMETIC", help="with --engine fastest: bf16 or f16, where that passed the tuning"
    )
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
    form.add_argument(
        "--csv",
        action="store_true",
        help="a row a class: image, rank, label, probability; of embeddings a row a picture",
    )
    _foreign.add_arguments(parser)


def _threads(text: str) -> Threads:
    try:
        return "auto" if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or auto, got '{text}'") from None


def run(arguments: argparse.Namespace) -> int:
    from edgewright.runtime import pictures
    from edgewright.runtime.machine import threads
    from edgewright.runtime.predictor import FailedImage, load

    show = _json if arguments.json else _csv if arguments.csv else _text
    status = 0
    with load(
        arguments.model,
        threads=arguments.threads,
        variant=arguments.variant,
        backend=arguments.backend,
        engine=arguments.engine,
        may=arguments.may,
        isolate=arguments.isolate,
        **_foreign.given(arguments),
    ) as predictor:
        if (choice := predictor.choice) is not None:
            console.complain(f"fastest here: {choice.variant} on {choice.engine}, threads: {choice.threads}")
        for line in predictor.assumptions:
            console.complain(f"{arguments.model}: assumed: {line}")
        if arguments.top < 1:
            raise InputError(f"expected --top of at least 1, got {arguments.top}")
        embeds = predictor.head.is_embedding
        if arguments.csv:
            columns = (str(i) for i in range(predictor.head.count)) if embeds else _COLUMNS
            console.say(",".join(("image", *columns)))
        each = 1 if arguments.threads == "auto" else arguments.threads  # of the cores
        each = each if choice is None else choice.threads
        workers = 1 if pictures.is_one_file(arguments.images) else max(1, threads.cores() // each)
        found = list(pictures.find(arguments.images))

        def work(sources: Iterator[str | bytes]) -> Iterator[list[Prediction] | Scores | FailedImage]:
            if embeds:
                return predictor.scores_many(sources, workers=workers)
            return predictor.predict_many(sources, arguments.top, workers=workers)

        with console.progress("pictures", len(found) if len(found) >= LONG else 0) as bar:
            for picture, outcome in pictures.through(found, work):
                if isinstance(outcome, FailedImage):
                    outcome = outcome.error
                if isinstance(outcome, ImageError):
                    text = str(outcome)  # of one from an archive it does not say which
                    console.complain(text if picture.name in text else f"{picture.name}: {text}")
                    status = 1
                for line in show(picture.name, outcome):
                    console.say(line)
                bar.advance()
    return status


def _text(name: str, outcome: Outcome) -> list[str]:
    if isinstance(outcome, ImageError):
        return []
    if isinstance(outcome, list):
        return [f"{name}: " + (", ".join(f"{p.label} {p.probability:.3f}" for p in outcome) or "no label")]
    return [f"{name}: " + " ".join(f"{value:.6g}" for value in outcome)]


def _json(name: str, outcome: Outcome) -> list[str]:
    if isinstance(outcome, ImageError):
        return [json.dumps({"image": name, "error": str(outcome)})]
    if isinstance(outcome, list):
        return [json.dumps({"image": name, "predictions": [dataclasses.asdict(p) for p in outcome]})]
    return [json.dumps({"image": name, "embedding": outcome.tolist()})]


def _csv(name: str, outcome: Outcome) -> list[str]:
    if isinstance(outcome, ImageError):
        return []
    from edgewright.runtime.disk import tables

    lines: list[tuple[str | int, ...]]
    if isinstance(outcome, list):
        ranked = enumerate(outcome, 1)
        lines = [(_plain(name), rank, _plain(p.label), f"{p.probability:.6g}") for rank, p in ranked]
    else:
        lines = [(_plain(name), *(f"{value:.6g}" for value in outcome))]
    return tables.rows(lines).splitlines()


def _plain(text: str) -> str:
    """A cell on one line: a row is a line, and a name may hold anything."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
