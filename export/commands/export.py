"""`edgewright export`: a checkpoint or a model of one's own to a bundle of proven files."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgewright.apps import howto
from edgewright.export.commands import model_options
from edgewright.runtime import console

HELP = (
    "convert a Keras model to TFLite and ONNX files, or an ONNX file to smaller ones, each proven against it"
)
_NAMED = 5  # classes; of more it is said how many


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="a checkpoint folder that train wrote, a .keras, .h5 or .onnx file, or a SavedModel folder",
    )
    parser.add_argument("--out", type=Path, metavar="BUNDLE", required=True, help="the folder to write")
    parser.add_argument(
        "--variants",
        metavar="LIST",
        help="comma-separated, such as tflite-int8,onnx-float32 or prune80+tflite-int8, with passes in front "
        "(pruneNN, prune2x4, clusterNN, qat, finetune) or all variants without (default: the usual six)",
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="largest accuracy drop that passes, held against the upper end of its 95%% interval; "
        "0.01 is one point and takes at least 381 test images (default: %(default)s)",
    )
    parser.add_argument(
        "--max-class-drop",
        type=float,
        metavar="SHARE",
        help="largest accuracy drop of any one class, held against the upper end of its interval; without it "
        "a file is refused only if a class has surely lost more than 0.05",
    )
    parser.add_argument(
        "--min-agreement",
        type=float,
        metavar="SHARE",
        help="least share of images decided as the model does, held against the lower end of its interval",
    )
    parser.add_argument(
        "--max-calibration-drop",
        type=float,
        metavar="SCORE",
        help="largest rise of the mean Brier score, held against the upper end of its interval",
    )
    parser.add_argument(
        "--keep-unproven",
        action="store_true",
        help="write files that are not proven too, flagged so in the bundle and in themselves; load takes "
        "one only by its name",
    )
    parser.add_argument(
        "--bundle-wide",
        action="store_true",
        help="hold all variants to their limits as one claim about the bundle (Holm's procedure), not each "
        "by itself",
    )
    parser.add_argument(
        "--calibration-size",
        type=int,
        default=256,
        metavar="N",
        help="how many images set the ranges of int8 files (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="draws the calibration images (default: %(default)s)"
    )
    parser.add_argument(
        "--finetune-epochs",
        type=int,
        default=6,
        metavar="N",
        help="how long each pass trains at most (default: %(default)s)",
    )
    parser.add_argument(
        "--repair",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="mend int8 files that lose too much on training images: equalize layers, choose ranges, and "
        "leave the worst operators in float32, in a file of its own such as tflite-int8-mixed (default: yes)",
    )
    parser.add_argument(
        "--batch",
        type=_batch,
        default=1,
        metavar="N|dynamic",
        help="images that a file takes at once; dynamic: any number (default: %(default)s)",
    )
    parser.add_argument(
        "--io",
        choices=("uint8", "float32"),
        default="uint8",
        help="dtype of the files' input: raw pixels 0-255 either way; float32 also gives the scores of "
        "integer files as float32 (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        metavar="NAME|PATH",
        help="the checkpoint's data set, if it was moved; for a model of your own, a data set whose training "
        "part calibrates and whose test part judges",
    )
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where named data sets lie as .npz")
    parser.add_argument(
        "--pool",
        type=Path,
        metavar="FOLDER|ZIP|NPZ",
        help="thousands of pictures without labels, of the test images' kind: where these prove "
        "too little, labels for the few on which file and model part may prove it (edgewright label)",
    )
    parser.add_argument(
        "--label-error",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="how many labels of the pool may be wrong: the limit is tightened for it (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 if any variant was left out, asked for or not"
    )
    model_options.add(parser)


def run(arguments: argparse.Namespace) -> int:
    from edgewright.export.exporter import export
    from edgewright.export.network.model import FileInterface
    from edgewright.export.source.options import Options
    from edgewright.runtime.bundle.parity_table import LIMITS_NARROW, NARROW, limits_table, parity_table
    from edgewright.runtime.contract.labels import quoted

    asked = (arguments.max_class_drop, arguments.min_agreement, arguments.max_calibration_drop)
    options = Options(
        out=arguments.out,
        variants=arguments.variants or (),
        max_drop=arguments.max_drop,
        max_class_drop=arguments.max_class_drop,
        min_agreement=arguments.min_agreement,
        max_calibration_drop=arguments.max_calibration_drop,
        keep_unproven=arguments.keep_unproven,
        bundle_wide=arguments.bundle_wide,
        calibration_size=arguments.calibration_size,
        seed=arguments.seed,
        overwrite=arguments.overwrite,
        data=arguments.data,
        data_dir=arguments.data_dir,
        finetune_epochs=arguments.finetune_epochs,
        repair=arguments.repair,
        interface=FileInterface(batch=arguments.batch, dtype=arguments.io),
        given=model_options.given(arguments),
        pool=arguments.pool,
        label_error=arguments.label_error,
    )
    with console.Bars() as bars:
        result = export(arguments.model, options, bars)
    for line in result.left_out:
        console.complain(f"left out: {line}")
    rows = [(o.name, o.bytes, o.gzip_bytes, o.parity) for o in result.outcomes if o.parity is not None]
    title = f"Parity with the float model of {arguments.model}"
    parity = parity_table(title, result.reference, rows, result.judging)
    console.table(*parity, drop=NARROW, also="edgewright inspect --json")
    for note in result.notes:
        console.say(note)
    judged = [(o.name, o.parity) for o in result.outcomes if o.parity is not None]
    if any(limit is not None for limit in asked):
        console.table(
            *limits_table("Limits beside the drop", judged), drop=LIMITS_NARROW, also="edgewright inspect"
        )
    elif blind := dict.fromkeys(label for _, one in judged for label in one.not_judged):
        console.say(
            f"too few test images to see these classes lost: {quoted(list(blind)[:_NAMED])}"
            + (f" and {len(blind) - _NAMED} more" if len(blind) > _NAMED else "")
        )
    written = [outcome.name for outcome in result.outcomes if outcome.is_written]
    if written:
        console.say(f"wrote {arguments.out}: {', '.join(written)}")
        console.say(f"how an app feeds them: edgewright how-to {arguments.out} {'|'.join(howto.PLATFORMS)}")
    unproven: dict[str, list[str]] = {}
    for outcome in result.outcomes:
        if not outcome.passed:
            verdict = outcome.parity.verdict if outcome.parity else "failed"
            done = "written, but" if outcome.is_written else "left out,"
            unproven.setdefault(f"{done} {verdict}: {outcome.reason}", []).append(outcome.name)
    for why, names in unproven.items():  # of few pictures, one line says it of all
        console.complain(f"{', '.join(names)} {why}")
    if result.wanted is not None:
        disputed, others = result.wanted
        kinds = f"{disputed} disputed, {others} that nobody disputes"
        console.say(f"{disputed + others} pictures want a label ({kinds}): edgewright label {arguments.out}")
    if not written:
        console.complain(f"no variant passed; {arguments.out} was not written")
    wanting = len(written) < len(result.outcomes)
    return int(not written or (wanting and bool(arguments.variants)) or (bool(unproven) and arguments.strict))


def _batch(text: str) -> int | None:
    """A number of images; None for "dynamic"."""
    if text == "dynamic":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 1024 or 'dynamic', got '{text}'")
    return int(text)
