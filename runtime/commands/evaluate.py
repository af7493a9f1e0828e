"""`edgewright evaluate`: how good a file is on labelled pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console
from edgewright.runtime.commands import _foreign

if TYPE_CHECKING:
    from edgewright.runtime.evaluation import Evaluation
    from edgewright.runtime.evaluation.metrics import Share

HELP = "judge a bundle or one .tflite or .onnx file on labelled pictures"

_ROWS = 10  # of a table; JSON has all
_MOST_CLASSES = 30  # from which on only the worst are shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, metavar="BUNDLE|FILE", help="a bundle folder, a .tflite or an .onnx"
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="PATH",
        help="class folders, a .zip of them, an .npz (x, y or x_test, y_test), or a .csv (image,label)",
    )
    parser.add_argument(
        "--top", type=int, default=5, metavar="K", help="k of the top-k accuracy (default: %(default)s)"
    )
    parser.add_argument(
        "--variant", help="which of the bundle's variants (default: the recommended one that runs here)"
    )
    parser.add_argument("--backend", help="the only one to use: litert or ort (default: what takes the file)")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="threads of each interpreter; as many run as that leaves cores for (default: %(default)s)",
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="exit with status 0 although pictures could not be read"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write that object to a file too")
    _foreign.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    from edgewright.runtime.disk import files, jsonio
    from edgewright.runtime.errors import InputError
    from edgewright.runtime.evaluation import evaluate

    if arguments.top < 1:
        raise InputError(f"expected --top of at least 1, got {arguments.top}")
    if arguments.out is not None:
        files.check_file(arguments.out)
    with console.Bars() as bars:
        found = evaluate(
            arguments.model,
            arguments.data,
            top=arguments.top,
            threads=arguments.threads,
            variant=arguments.variant,
            backend=arguments.backend,
            progress=bars,
            **_foreign.given(arguments),
        )
    for note in found.notes:
        console.complain(note)
    for picture, error in found.left_out:
        console.complain(error if picture in error else f"{picture}: {error}")
    if arguments.out is not None:
        files.write_file(arguments.out, jsonio.dump(found.to_json(), indent=None))
    if arguments.json:
        console.say(jsonio.dump(found.to_json(), indent=None).decode().rstrip())
    else:
        _show(found)
        if arguments.out is not None:
            console.say(f"wrote {arguments.out}")
    return 1 if found.left_out and not arguments.skip_bad else 0


def _show(found: Evaluation) -> None:
    left = f", {len(found.left_out):,} could not be read" if found.left_out else ""
    console.say(
        f"{found.model}, {found.variant}: {found.images:,} pictures of {found.data}{left}; "
        f"{found.seconds:.1f} s"
    )
    console.table("Intervals are Wilson's at 95 %", ("figure", "value", "interval"), list(_figures(found)))
    _classes(found)
    if found.confused:
        pairs = [(c.truth, c.guess, f"{c.images:,}", f"{c.share:.1%}", "") for c in found.confused[:_ROWS]]
        console.table(
            "Taken for another", ("class", "taken for", "images", "of the class", ""), pairs, left=2
        )
    if found.mistakes:
        names = [m.picture.removeprefix(found.data).lstrip("/\\") for m in found.mistakes[:_ROWS]]
        worst = [
            (name, m.truth, m.guess, f"{m.probability:.3f}", "")
            for name, m in zip(names, found.mistakes, strict=False)
        ]
        console.table(
            "The surest mistakes", ("picture", "class", "taken for", "probability", ""), worst, left=3
        )


def _classes(found: Evaluation) -> None:
    """A row a class; of many those that go worst."""
    shown, title = list(found.classes), "Classes"
    if len(shown) > _MOST_CLASSES:
        shown = sorted((one for one in shown if one.images), key=lambda one: one.f1)[:_ROWS]
        title = f"The {len(shown)} worst of {len(found.classes):,} classes"
    rows = [
        [one.label, f"{one.images:,}", *(f"{value:.3f}" for value in (one.precision, one.recall, one.f1)), ""]
        for one in shown
    ]
    columns = ["class", "images", "precision", "recall", "F1", ""]
    if any(one.auc is not None for one in shown):
        columns[-1] = "AUC"
        for row, one in zip(rows, shown, strict=True):
            row[-1] = "" if one.auc is None else f"{one.auc:.3f}"
    console.table(title, columns, rows)


def _figures(found: Evaluation) -> list[tuple[str, str, str]]:
    """Name, value and interval of what sums it up."""

    def share(name: str, value: Share | None) -> list[tuple[str, str, str]]:
        if value is None:
            return []
        return [(name, f"{value.value:.4f}", f"{value.low:.4f} to {value.high:.4f}")]

    def plain(name: str, value: float | None) -> list[tuple[str, str, str]]:
        return [] if value is None else [(name, f"{value:.4f}", "")]

    return [
        *share("accuracy", found.accuracy),
        *share(f"top-{found.k} accuracy", found.top),
        *share("all labels right", found.exact_match),
        *plain("labels right", found.label_accuracy),
        *plain("macro precision", found.macro_precision),
        *plain("macro recall", found.macro_recall),
        *plain("macro F1", found.macro_f1),
        *plain("AUC" if found.accuracy else "macro AUC", found.macro_auc),
        *plain("calibration error (15 bins)", found.calibration_error),
        *plain("Brier score", found.brier),
    ]
