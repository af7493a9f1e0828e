"""What the exporting process and its converting child say to each other, JSON objects, a line each.

The child is told a model; it loads it and answers what it found. It is then told a folder with
`job.json`, `calibration.npy` and `test.npy`; it writes the files and `reference.npy` there, and says
of each thing that it is done. So the model is loaded once, and looked at before any data is read.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.export.model import ONE_IMAGE, Edge, Facts, Model
from edgewright.export.variants import Variant
from edgewright.runtime import jsonio
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images

JOB = "job.json"
CALIBRATION, TEST, REFERENCE = "calibration.npy", "test.npy", "reference.npy"


@dataclass(frozen=True, kw_only=True)
class Event:
    """`kind` is "loaded" (with `facts`), "reference", "converted" (with `variant` and `conversion`),
    "failed" (with `variant` and `reason`) or "error" (`reason`: nothing can be converted)."""

    kind: str
    variant: str = ""
    reason: str = ""
    conversion: dict[str, Any] | None = None
    facts: dict[str, Any] | None = None

    def line(self) -> str:
        return json.dumps(vars(self)) + "\n"


def prepare(
    folder: Path,
    variants: Sequence[Variant],
    contracts: Sequence[ModelContract],
    calibration: Images,
    *,
    reference: bool,
) -> None:
    """Write what the child needs into `folder`. For the `reference`, the model's own scores, the test
    images have to lie there too, as an .npy called `TEST`."""
    np.save(folder / CALIBRATION, calibration)
    job = {
        "reference": reference,
        "variants": {v.name: c.to_json() for v, c in zip(variants, contracts, strict=True)},
    }
    (folder / JOB).write_text(json.dumps(job), encoding="utf-8")


class Child:
    """The converting process, for files of one `edge`. Close it, or use it in `with`; it also ends when
    this process does."""

    def __init__(self, edge: Edge = ONE_IMAGE) -> None:
        self._edge = edge
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the child)
        # The child watches its standard input: it closes when this process is gone.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "edgewright.export.convert"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
        )

    def load(self, model: Model, formats: Sequence[str] = ()) -> Facts:
        """Have it load `model`, and see that the network can be written in `formats` at all.

        Raises:
            ExportError: it cannot be exported, with the layer that stands in the way.
        """
        edge = dataclasses.asdict(self._edge)
        self._tell({"model": model.to_json(), "edge": edge, "formats": list(formats)})
        event = next(self._events(), None)
        if event is None or event.facts is None:
            raise self._ended()
        return Facts.from_json(jsonio.JsonObject(event.facts, "the child's answer", ExportError))

    def convert(self, folder: Path) -> Generator[Event]:
        """Have it do what lies in `folder` (see `prepare`) and yield what it reports.

        Raises:
            ExportError: the child failed, with the line it failed with.
        """
        self._tell({"folder": str(folder)})
        yield from self._events()
        if self._process.wait() != 0:
            raise self._ended()

    def _tell(self, task: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it is gone: what is read next says why
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()

    def _events(self) -> Generator[Event]:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            event = Event(**json.loads(line))
            if event.kind == "error":
                raise ExportError(event.reason)
            yield event

    def _ended(self) -> ExportError:
        status = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        last = lines[-1] if lines else "no message"
        return ExportError(f"the converting process ended with status {status}: {last}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                with suppress(OSError):  # what was not sent need not be
                    pipe.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()
