"""Where the time of a label goes: a row a stage of each bundle's files, on this machine and on arm64.

    python -m edgewright.benchmarks.figures.limit BUNDLE… --cifar10 cifar10.npz --out DIR

A picture of 500 x 375 pixels as a phone takes it is decoded, resized and run. Here the cost is in seconds, on
one thread; on arm64 in instructions. It takes ten minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from edgewright.benchmarks.figures import publish, script
from edgewright.benchmarks.figures.limit import stages
from edgewright.benchmarks.figures.photos import Camera
from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.targets.arm64 import machine
from edgewright.benchmarks.targets.arm64.processors import PROCESSORS
from edgewright.runtime import console
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import files
from edgewright.runtime.errors import InputError

PICTURE = (500, 375)  # divisible by no factor in both sides, so never scaled while it is decoded
VARIANTS = ("tflite-float32", "tflite-int8")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--cifar10", type=Path, required=True, help="the data set as .npz, for a photo of it")
    parser.add_argument("--rounds", type=int, default=200, help="blocks of each part (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    try:
        with np.load(arguments.cifar10, allow_pickle=False) as data:
            jpeg = Camera(PICTURE).take(data["x_test"][0])
    except (OSError, ValueError, KeyError) as failure:
        raise InputError(
            f"expected CIFAR-10 with x_test in {arguments.cifar10}, got none ({failure})"
        ) from failure
    data_sha256 = files.sha256_of(arguments.cifar10)
    lacking = machine.missing()
    if lacking:
        console.say(f"without arm64: it needs {lacking}")
    emulated = None if lacking else machine.ready(console.say)
    surroundings = environment.describe() | {"emulation": None if emulated is None else dict(emulated.about)}
    rows: list[publish.Row] = []
    for folder in arguments.bundles:
        bundle = Bundle.open(folder)
        held = {entry.name for entry in bundle.manifest.variants}
        for variant in (name for name in VARIANTS if name in held):
            for name, measure in stages.machines(arguments.rounds, emulated, PROCESSORS[-1:]).items():
                told = {"recipe": bundle.manifest.name, "variant": variant, "machine": name}
                behind = {"file_sha256": bundle.variant(variant).file.sha256, "data_sha256": data_sha256}
                unit = "seconds" if name == "here" else "instructions"
                found = stages.rows_of(bundle, variant, jpeg, PICTURE, measure)
                rows += [{**told, "unit": unit, **row, **behind} for row in found]
                console.say(
                    f"{folder.name} {variant} on {name}: {sum(row['cost'] for row in found):.6g} {unit}"
                )
    publish.write(arguments.out / "limit.json", surroundings, rows)
    return 0


if __name__ == "__main__":
    script.run(main)
