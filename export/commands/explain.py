"""`edgewright explain`: where a file and its float model part, layer by layer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.export.commands import model_options
from edgewright.runtime import console

if TYPE_CHECKING:
    from edgewright.export.explaining.comparison import Comparison
    from edgewright.export.explaining.explain import Explanation, FileExplanation
    from edgewright.export.explaining.runtimes import Parting

_MOST = 200.0  # decibels, which stands for no difference at all; see `edgewright.export.explaining.measures`

HELP = "show in which layer a file loses what its float model knows"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        type=Path,
        metavar="BUNDLE|FILE",
        help="a bundle folder, or a .tflite or .onnx file, changed since its export or not",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="M",
        help="compare with this instead of the bundle's float32 files: the checkpoint or model that the "
        "files were exported from, or a float .tflite or .onnx file",
    )
    parser.add_argument(
        "--variants", metavar="LIST", help="comma-separated files of the bundle (default: all but float32)"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER|ZIP",
        help="pictures to run, the first 64 (default: the bundle's golden images)",
    )
    parser.add_argument(
        "--trust", action="store_true", help="open files that were not exported here in this process"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json", help="write that object to a file too, for edgewright report"
    )
    model_options.add_network(
        parser, "--model, a file of your own (a checkpoint or the bundle says all this itself)"
    )


def run(arguments: argparse.Namespace) -> int:
    from edgewright.export.explaining.explain import explain
    from edgewright.export.explaining.references import Said
    from edgewright.runtime import trust
    from edgewright.runtime.disk import files, jsonio

    if arguments.out is not None:
        files.check_file(arguments.out)
    if arguments.trust:
        trust.stand_apart()
    said = Said(
        normalization=model_options.normalization(arguments),
        unsafe_load=arguments.unsafe_load,
        output=arguments.output,
        code=arguments.code,
    )
    with console.Bars() as bars:
        found = explain(
            arguments.path,
            model=arguments.model,
            variants=[name.strip() for name in (arguments.variants or "").split(",") if name.strip()],
            images=arguments.images,
            said=said,
            progress=bars,
        )
    told = jsonio.dump(found.to_json(), indent=None)
    if arguments.out is not None:
        files.write_file(arguments.out, told)
    if arguments.json:
        console.say(told.decode().rstrip())
    else:
        _show(found)
        if arguments.out is not None:
            console.say(f"wrote {arguments.out}")
    failed = [file for file in found.files if not file.comparisons]
    for file in failed:
        console.complain(f"{file.variant} was not explained: {file.notes[-1]}")
    return 1 if failed else 0


def _show(found: Explanation) -> None:
    for file in found.files:
        for one in file.comparisons:
            _layers(file, one)
    rows = [
        (
            file.variant,
            one.kernels,
            _decibels(one.score_snr),
            f"{one.decided:.0%}",
            one.diverges or "-",
            one.loses_most or "-",
        )
        for file in found.files
        for one in file.comparisons
    ]
    columns = ("variant", "kernels", "scores, dB", "decided alike", "diverges first", "loses most")
    console.table(f"{found.name} on {found.images} pictures of {found.images_from}", columns, rows, left=2)
    for file in found.files:
        for note in file.notes if file.comparisons else ():
            console.say(f"{file.variant}: {note}")
        if file.parting:
            console.say(f"{file.variant}: {_parting(file.parting)}")
    if found.runtimes:
        console.say(_parting(found.runtimes))
    for file in found.files:
        if file.comparisons:
            console.say(_verdict(file))


def _layers(file: FileExplanation, one: Comparison) -> None:
    rows = [
        (
            step.layer,
            step.operator,
            _decibels(step.score_snr),
            _decibels(step.own_snr),
            _decibels(step.snr),
            f"{step.cosine:.4f}",
            f"{step.saturated:.2%}" if step.quantized else "-",
            f"{step.clipped:.1%}" if step.quantized else "-",
            f"{step.spread:.1f}",
            " + ".join(step.layers) or step.layer,
        )
        for step in one.steps
    ]
    columns = (
        *("layer", "operator", "scores by it alone, dB", "own, dB", "so far, dB", "cosine", "saturated"),
        *("clipped range", "channel spread", "Keras layers in it"),
    )
    title = f"{file.variant} on {one.kernels} beside {file.reference}: signal over error, as it runs"
    drop = ("operator", "cosine", "clipped range", "Keras layers in it")
    console.table(title, columns, rows, left=2, drop=drop, also="--json")


def _decibels(value: float) -> str:
    return "exact" if value >= _MOST else "none" if value <= -_MOST else f"{value:.1f}"


def _parting(found: Parting) -> str:
    where = f"part first in {found.layer}" if found.layer else "do not part"
    scores = "the same scores" if found.snr >= _MOST else f"scores at {found.snr:.1f} dB"
    return (
        f"{found.one} and {found.other} {where}: {found.differing:.2%} of values differ, {scores}, "
        f"{found.decided:.0%} of pictures decided alike"
    )


def _verdict(file: FileExplanation) -> str:
    worst = next((c for c in file.comparisons if c.diverges), None)
    if worst is None:
        most = next((c.loses_most for c in file.comparisons if c.loses_most), None)
        return f"{file.variant}: no layer diverges{f'; {most} loses most' if most else ''}"
    return (
        f"{file.variant}: {worst.diverges} diverges first, {worst.loses_most} loses most (on {worst.kernels})"
    )
