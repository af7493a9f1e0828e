"""What computing a frozen base's features once saves, against plain `fit` on the same recipe.

    python -m edgewright.benchmarks.figures.transfer mnist.npz --weights PATH --out benchmarks/figures/results

On the whole data the plain way is measured for one epoch and counted ten times, features with all ten
and from an empty cache. On a cut both ways are trained whole, and must come out alike. The two ways take
turns, each in fresh processes; seconds are what training took, without the start and the last evaluation.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.benchmarks.figures import publish, script
from edgewright.runtime import console
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import CheckpointError, TrainingError

RECIPE, EPOCHS = "mnist-mobilenetv2", 10
_CUT = {"train": 1000, "test": 500}


def measure(data: Path, weights: str, scratch: Path, *, epochs: int, features: bool) -> dict[str, Any]:
    """Train in a process of its own, with an empty cache: seconds, epochs, test accuracy, versions.

    Raises:
        TrainingError: with what the process said last.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        out = Path(folder, "checkpoint")
        words = ["-m", "edgewright.runtime", "train", RECIPE, "--weights", weights, "--data", str(data)]
        words += ["--epochs", str(epochs), "--out", str(out), *["--no-features"] * (not features)]
        surroundings = {"EDGEWRIGHT_CACHE": str(out.with_name("cache"))}
        script.python(words, "training", surroundings, error=TrainingError)
        found = jsonio.read(out / "checkpoint.json", CheckpointError)
    return {
        "way": "features" if features else "plain",
        "epochs": epochs,
        "seconds": found.object("training").number("seconds"),
        "test_accuracy": found.object("metrics").number("test_accuracy"),
        "data_sha256": found.object("data").text("sha256"),
        "versions": found.object("versions").data,
    }


def cut(data: Path, out: Path) -> None:
    """The first images of each part of an .npz data set."""
    with np.load(data, allow_pickle=False) as found:
        arrays = {f"{a}_{p}": found[f"{a}_{p}"][:count] for p, count in _CUT.items() for a in "xy"}
    np.savez(out, allow_pickle=False, **arrays)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="MNIST as .npz")
    parser.add_argument("--weights", default="imagenet", help="as edgewright train takes it")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    rows: list[dict[str, Any]] = []
    versions: Mapping[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch, few = Path(folder), Path(folder, "cut.npz")
        cut(arguments.data, few)
        for data, name, epochs in ((few, "cut", EPOCHS), (arguments.data, "whole", 1)):
            for features in (False, True):
                count = EPOCHS if features else epochs
                row = measure(data, arguments.weights, scratch, epochs=count, features=features)
                versions = row.pop("versions")
                ten = row["seconds"] * EPOCHS / row["epochs"]
                rows.append({"recipe": RECIPE, "data": name, **row, "seconds_ten_epochs": round(ten, 2)})
                console.say(str(rows[-1]))
    publish.write(arguments.out / "transfer.json", {"versions": dict(versions)}, rows)
    return 0


if __name__ == "__main__":
    script.run(main)
