"""How much longer a whole export takes than what cannot be saved: converting and pure inference.

    python -m edgewright.benchmarks.figures.proof CHECKPOINT --data mnist --out benchmarks/figures/results

An export of the default variants is timed three ways in turn, from an empty cache: judged on all test
images, on almost none (that is conversion, with the start of its process and of TensorFlow), and the
variants' inference alone, image by image through the runtime on one thread. The limit is 1.5 times
conversion plus inference divided by the cores. The ratio is that of `stats.paired_ratio` over the rounds; of
three its interval is from the smallest to the largest.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from edgewright.benchmarks.figures import publish, script
from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.record.stats import paired_ratio
from edgewright.runtime import backends, console
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import CheckpointError, ExportError
from edgewright.runtime.machine.threads import cores

ROUNDS, LIMIT, FEW = 3, 1.5, 16


def export(model: Path, calibration: Path, test: Path, range_: str, out: Path) -> float:
    """Seconds of an export in a process of its own with an empty cache; writes a bundle to `out`."""
    words = ["-m", "edgewright.runtime", "export", str(model), "--out", str(out)]
    words += ["--calibration", str(calibration), "--test", str(test), f"--input-range={range_}"]
    with tempfile.TemporaryDirectory() as cache:
        surroundings, start = {"EDGEWRIGHT_CACHE": cache}, time.perf_counter()
        script.python(words, "the export", surroundings, error=ExportError, despite="not proven")
        return time.perf_counter() - start


def inference(bundle: Path, images: backends.Pixels) -> float:
    """Seconds that the bundle's files need for `images`, one at a time, on one thread, loading left out."""
    seconds = 0.0
    opened = Bundle.open(bundle)
    for variant in opened.manifest.variants:
        path = opened.path(variant.file)
        backend = backends.for_path(path)
        session = backend.open(backend.read(path), threads=1)
        session.run(images[:1])
        start = time.perf_counter()
        for i in range(len(images)):
            session.run(images[i : i + 1])
        seconds += time.perf_counter() - start
    return seconds


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the checkpoint's data set as .npz")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    found = jsonio.read(arguments.checkpoint / "checkpoint.json", CheckpointError)
    low, high = found.array("input_range")
    model, range_ = arguments.checkpoint / "model.keras", f"{low:g}..{high:g}"
    with np.load(arguments.data, allow_pickle=False) as data:
        arrays = {name: data[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    totals, conversions, inferences = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        np.savez(scratch / "calibration.npz", x=arrays["x_train"][:2000], y=arrays["y_train"][:2000])
        for name, count in (("all", len(arrays["x_test"])), ("few", FEW)):
            np.savez(scratch / f"{name}.npz", x=arrays["x_test"][:count], y=arrays["y_test"][:count])
        images = arrays["x_test"].reshape(len(arrays["x_test"]), *arrays["x_test"].shape[1:3], -1)
        for turn in range(ROUNDS):
            out = scratch / f"bundle-{turn}"
            calibration = scratch / "calibration.npz"
            totals.append(export(model, calibration, scratch / "all.npz", range_, out))
            conversions.append(export(model, calibration, scratch / "few.npz", range_, scratch / "none"))
            inferences.append(inference(out, images))
            console.say(f"{totals[-1]:.1f} s, {conversions[-1]:.1f} s, {inferences[-1]:.1f} s")
    rounds = zip(totals, conversions, inferences, strict=True)
    ratio = paired_ratio([total / (conversion + run / cores()) for total, conversion, run in rounds])
    row = {
        "recipe": found.text("recipe"),
        "images": len(images),
        "cores": cores(),
        "export_seconds": round(statistics.median(totals), 2),
        "conversion_seconds": round(statistics.median(conversions), 2),
        "inference_seconds": round(statistics.median(inferences), 2),
        **publish.ratio(ratio, 3),
        "limit": LIMIT,
        "file_sha256": found.text("model_sha256"),
        "data_sha256": files.sha256_of(arguments.data),
    }
    publish.write(arguments.out / "proof.json", environment.describe(), [row])
    return 0


if __name__ == "__main__":
    script.run(main)
