"""Collects what validation images say of recipes as they are and as they might be: a row a checkpoint.

    python -m edgewright.benchmarks.figures.choices CHECKPOINT… --out benchmarks/figures/results

Each seed holds other images out and begins with other weights. What a checkpoint says of test images is left
alone. Rows of other recipes and seeds that the file holds stay.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.choices import CHOICES
from edgewright.benchmarks.figures.pedigree import made
from edgewright.benchmarks.figures.publish import Row, held, write
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import CheckpointError, InputError

FILE = "choices.json"


def row_of(checkpoint: jsonio.JsonObject) -> Row:
    """Raises `InputError`: it is of a recipe of which nothing was chosen."""
    recipe = checkpoint.text("recipe")
    for own, chosen, otherwise, other in CHOICES:
        if recipe in (own, other):
            metrics = checkpoint.object("metrics")
            return {
                "recipe": recipe,
                "of": own,
                "choice": chosen,
                "otherwise": otherwise,
                "seed": checkpoint.integer("seed"),
                "epochs": checkpoint.object("training").integer("epochs"),
                "validation_accuracy": metrics.number("validation_accuracy"),
                "validation_loss": metrics.number("validation_loss"),
                "data_sha256": checkpoint.object("data").text("sha256"),
            }
    expected = ", ".join(name for own, _, _, other in CHOICES for name in (own, other))
    raise InputError(f"expected a checkpoint of one of {expected}, got {recipe}")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    rows, versions = [], {}
    for folder in arguments.checkpoints:
        checkpoint = jsonio.read(folder / "checkpoint.json", CheckpointError)
        rows.append(row_of(checkpoint))
        made.check("train", folder, rows[-1:])
        versions = checkpoint.object("versions").data
    path = arguments.out / FILE
    anew = {(row["recipe"], row["seed"]) for row in rows}
    kept = [row for row in held(path) if (row["recipe"], row["seed"]) not in anew]
    write(path, {"versions": dict(versions)}, [*kept, *rows])
    return 0


if __name__ == "__main__":
    script.run(main)
