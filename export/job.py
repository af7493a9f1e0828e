"""What the exporting process and its converting child say to each other.

The child gets a folder with `job.json`, `calibration.npy` and `test.npy`; it writes the files and
`reference.npy` there, and one JSON object a line on a pipe about each thing done.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.export.network import ONE_IMAGE, Edge
from edgewright.export.variants import Variant
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images

JOB, LOG = "job.json", "convert.log"
CALIBRATION, TEST, REFERENCE = "calibration.npy", "test.npy", "reference.npy"


@dataclass(frozen=True, kw_only=True)
class Event:
    """`kind` is "reference", "converted" (with `variant` and `conversion`), "failed" (with `variant` and
    `reason`) or "error" (`reason`: nothing can be converted)."""

    kind: str
    variant: str = ""
    reason: str = ""
    conversion: dict[str, Any] | None = None

    def line(self) -> str:
        return json.dumps(vars(self)) + "\n"


def prepare(
    folder: Path,
    checkpoint: Path,
    variants: Sequence[Variant],
    contracts: Sequence[ModelContract],
    calibration: Images,
    test: Images,
    edge: Edge = ONE_IMAGE,
) -> None:
    """Write what the child needs into `folder`."""
    np.save(folder / CALIBRATION, calibration)
    np.save(folder / TEST, test)
    job = {
        "checkpoint": str(checkpoint.resolve()),
        "edge": dataclasses.asdict(edge),
        "variants": {v.name: c.to_json() for v, c in zip(variants, contracts, strict=True)},
    }
    (folder / JOB).write_text(json.dumps(job), encoding="utf-8")


def run(folder: Path) -> Generator[Event]:
    """Start the child and yield what it reports. It ends with this process, however that ends.

    Raises:
        ExportError: the child failed, with the line it failed with.
    """
    command = [sys.executable, "-P", "-m", "edgewright.export.convert", str(folder)]
    with (folder / LOG).open("wb") as log:
        # The child watches its standard input: it closes when this process is gone.
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, encoding="utf-8"
        )
    try:
        assert child.stdout is not None
        for line in child.stdout:
            event = Event(**json.loads(line))
            if event.kind == "error":
                raise ExportError(event.reason)
            yield event
        if child.wait() != 0:
            lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1] if lines else "no message"
            raise ExportError(f"the converting process ended with status {child.returncode}: {last}")
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
