"""`edgewright train`: a recipe to a checkpoint folder."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console
from edgewright.train import pretrained
from edgewright.train import recipe as recipes
from edgewright.train.commands import data_options

if TYPE_CHECKING:
    from edgewright.train.datasets import Dataset, Size
    from edgewright.train.recipe import Recipe

HELP = "train a recipe and write a checkpoint that export takes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", nargs="?", help="one of: " + ", ".join(recipes.names()))
    parser.add_argument(
        "--model",
        metavar="PACKAGE.MODULE:NAME",
        help="your own instead: a function build(keras, shape, classes), or a Recipe; the working folder is "
        "searched too",
    )
    parser.add_argument(
        "--data", metavar="NAME|PATH", help="a data set as `edgewright data` takes it (default: the recipe's)"
    )
    data_options.add(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="CHECKPOINT", help="the folder to write")
    parser.add_argument("--epochs", type=int, help="at most so many (default: the recipe's)")
    parser.add_argument(
        "--seed", type=int, default=0, help="for weights, order and split (default: %(default)s)"
    )
    parser.add_argument(
        "--base",
        metavar="NAME",
        help="the network that photos starts from: "
        + ", ".join(pretrained.BASES)
        + " (default: MobileNetV2)",
    )
    parser.add_argument(
        "--weights",
        metavar="imagenet|PATH|none",
        help="what a recipe with a pretrained base starts from: ImageNet weights (downloaded by Keras), a "
        "Keras weights file of the base, or random ones (default: the recipe's)",
    )
    parser.add_argument(
        "--no-features",
        dest="features",
        action="store_false",
        help="run a frozen base in every epoch, not once for all of them",
    )
    parser.add_argument(
        "--strategy",
        choices=("mirrored", "multiworker"),
        help="train by tf.distribute on all devices of this machine, or as one of the workers that "
        "TF_CONFIG names, of which the chief writes the checkpoint; each device takes its share of a batch; "
        "such a run cannot be resumed",
    )
    parser.add_argument("--resume", action="store_true", help="go on where a cut-off run of the same was")
    parser.add_argument("--overwrite", action="store_true", help="replace a checkpoint that is there")


def run(arguments: argparse.Namespace) -> int:
    from edgewright.runtime.disk.files import check_output
    from edgewright.runtime.errors import InputError
    from edgewright.train import datasets
    from edgewright.train.checkpoint import OURS
    from edgewright.train.fitting.fit import Options, train

    if (arguments.recipe is None) == (arguments.model is None):
        raise InputError(
            "expected a recipe or --model, one of the two; edgewright train --help lists recipes"
        )
    name = arguments.recipe or arguments.model
    recipe = recipes.of_model(name) if arguments.model else recipes.get(name)
    source = arguments.data or recipe.data
    if source is None:
        raise InputError(f"expected data for {name}, got none; add --data NAME|PATH")
    if arguments.epochs is not None and arguments.epochs < 1:
        raise InputError(f"expected --epochs of at least 1, got {arguments.epochs}")
    if not 0 <= arguments.seed < 2**32:
        raise InputError(f"expected --seed from 0 to {2**32 - 1}, got {arguments.seed}")
    check_output(arguments.out, overwrite=arguments.overwrite or arguments.resume, ours=OURS)
    options = Options(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Options)})
    recipe = recipe.starting_from(name, options.base, options.weights)
    dataset, wrong = data_options.load(
        arguments,
        source,
        _size(recipe),
        arguments.seed,
        examine=lambda found: found.source not in datasets.names(),
    )
    for line in wrong.lines if wrong else ():
        console.complain(line)
    console.say(
        f"{name} ({_base(recipe)}{recipe.summary}) on {dataset.name}: {len(dataset.x_train):,} training and "
        f"{len(dataset.x_test):,} test images, {_about(dataset, arguments)}"
    )
    with console.Bars() as bars:
        checkpoint = train(name, recipe, dataset, options, progress=bars, say=console.say)
    if checkpoint is None:
        console.say("done; the chief writes the checkpoint")
        return 0
    done = checkpoint.training
    kept = f"epoch {done['best_epoch']} of {done['epochs']} kept"
    console.say(
        f"test accuracy {checkpoint.metrics['test_accuracy']:.4f} "
        f"({done['parameters']:,} parameters, {kept}, {done['seconds']:.1f} s); wrote {arguments.out}"
    )
    if not done["finished"]:
        console.complain("interrupted" if arguments.strategy else "interrupted; --resume goes on from here")
        return 130
    return 0


def _base(recipe: Recipe) -> str:
    """What a recipe starts from, where that was chosen."""
    weights = recipe.weights
    if weights is None or not weights.base:
        return ""
    if weights.source == pretrained.NONE:
        return f"{weights.base} from random weights, "
    source = "ImageNet's weights" if weights.source == pretrained.IMAGENET else Path(weights.source).name
    return f"{weights.base} with {source}, first frozen, then tuned, "


def _size(recipe: Recipe) -> Size | None:
    """What the pictures of a folder are brought to, at most."""
    from edgewright.train.datasets import Size

    if recipe.shape is None:
        return None
    height, width, channels = recipe.shape
    return Size(
        height=height,
        width=width,
        channels=channels,
        exact_sides=not recipe.at_most,
        exact_channels=not recipe.at_most,
    )


def _about(dataset: Dataset, arguments: argparse.Namespace) -> str:
    """What the data set was taken for."""
    labels = dataset.labels
    said = f"{len(labels)} labels, several an image" if dataset.is_multi_label else f"{len(labels)} classes"
    if len(labels) <= 2 and not dataset.is_multi_label:
        said += f" ({labels[0]}, {labels[1]})"
    return f"{said}, {data_options.about(dataset, arguments.size)}" if dataset.origin else said
