"""One variant on one emulated processor: its scores, its instructions, its kernels."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import edgewright.runtime
from edgewright.benchmarks.targets.arm64.machine import Machine, last_line
from edgewright.benchmarks.targets.arm64.processors import Processor
from edgewright.runtime.backends import Pixels, Scores
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import TargetError

_GUEST = Path(__file__).with_name("guest.py")


@dataclass(frozen=True, kw_only=True)
class Inference:
    """What a variant gave on a processor.

    `golden` are the scores `(n, classes)` of the bundle's golden images, `images` those of the test images,
    none if there were none, `instructions` one count a golden image, empty if the machine cannot count.
    `outside` are the operators that XNNPACK left to plain kernels, None where no such thing is known.
    """

    kernels: str
    golden: Scores
    images: Scores
    instructions: list[int]
    outside: list[str] | None


def infer(
    machine: Machine, processor: Processor, bundle: Bundle, variant: str, images: Pixels | None
) -> Inference:
    """Run a variant's golden images, and `images` `(n, height, width, channels)`, on an emulated processor.

    Raises:
        TargetError: the program in the machine failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "edgewright").mkdir()
        (folder / "edgewright/runtime").symlink_to(Path(edgewright.runtime.__file__).resolve().parent)
        if images is not None:
            np.save(folder / "images.npy", images)
        marks, site = folder / "marks", machine.folder / "site"
        job = {
            "bundle": str(bundle.folder.resolve()),
            "variant": variant,
            "images": None if images is None else str(folder / "images.npy"),
            "scores": str(folder / "scores.npz"),
            "out": str(folder / "out.json"),
        }
        done = machine.run(
            processor,
            ("-P", str(_GUEST), json.dumps(job)),
            marks=marks if machine.about["counts"] else None,
            environment={"PYTHONPATH": f"{folder}:{site}", "EDGEWRIGHT_CACHE": str(folder / "cache")},
        )
        if done.returncode != 0:
            raise TargetError(f"{variant} on {processor.title}: {last_line(done)}")
        told = jsonio.read(folder / "out.json", TargetError).data
        with np.load(folder / "scores.npz") as archive:
            scores = {key: archive[key] for key in archive.files}
        counted = [int(line) for line in marks.read_text().split()] if machine.about["counts"] else []
    if counted and len(counted) != 2 * len(scores["golden"]):
        raise TargetError(
            f"{variant} on {processor.title}: expected {2 * len(scores['golden'])} marks in the counts, "
            f"got {len(counted)}; the interpreter itself has called sched_yield"
        )
    return Inference(
        kernels=told["kernels"],
        golden=scores["golden"],
        images=scores["images"],
        instructions=[after - before for before, after in zip(counted[::2], counted[1::2], strict=True)],
        outside=told["outside"],
    )
