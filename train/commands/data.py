"""`edgewright data`: what is in a data set, before anything is trained on it."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgewright.runtime import console
from edgewright.train.commands import data_options

HELP = "explore a data set: shapes, classes, bad, tiny, duplicate and leaking images, a picture of samples"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        metavar="NAME|PATH",
        help="mnist, fashion-mnist, cifar10, fashion-mini, an .npz, a folder of IDX or class folders, a CSV "
        "table of pictures and labels",
    )
    data_options.add(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a picture that is there")
    parser.add_argument("--seed", type=int, default=0, help="splits class folders (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.png", help="samples of every class (default: NAME.png)"
    )


def run(arguments: argparse.Namespace) -> int:
    from edgewright.runtime.disk.files import check_file, write_file
    from edgewright.runtime.errors import OutputError
    from edgewright.train.datasets import Size
    from edgewright.train.evaluation import exploring

    out = arguments.out or Path(f"{Path(arguments.data).stem or 'data'}.png")
    if out.is_dir() or (out.exists() and not arguments.overwrite):
        raise OutputError(f"{out} is there already; choose another --out or add --overwrite")
    check_file(out)
    most = Size(height=96, width=96, channels=3)
    dataset, wrong = data_options.load(arguments, arguments.data, most, arguments.seed)
    assert wrong is not None
    found = exploring.explore(dataset)
    rows = [(label, f"{train:,}", f"{test:,}", "") for label, train, test in found.counts]
    console.table(f"{dataset.name}: images a class", ("class", "train", "test", ""), rows)
    height, width, channels = dataset.x_train.shape[1:]
    several = ", several labels an image" if dataset.is_multi_label else ""
    for line in (
        f"images      {len(dataset.x_train):,} to train, {len(dataset.x_test):,} to test{several}; "
        f"{height}x{width} {'grey' if channels == 1 else 'RGB'} uint8",
        *([f"pictures    {data_options.pictures_have(dataset)}"] if dataset.origin else []),
        f"pixels      {found.darkest} to {found.brightest}, mean {found.mean:.1f}",
        f"duplicates  {wrong.leaking_exactly:,} test images also occur in training",
        *(f"look at     {line}" for line in wrong.lines),
        f"licence     {dataset.licence}",
        f"citation    {dataset.citation}",
        f"SHA-256     {dataset.sha256}",
    ):
        console.say(line)
    write_file(out, exploring.samples(dataset))
    console.say(f"wrote {out}")
    return 0
