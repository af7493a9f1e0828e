"""The converting child: the only process of an export that has TensorFlow.

python -m edgewright.export.convert FOLDER      (see `edgewright.export.job`)
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgewright.export import formats, job, variants
from edgewright.export.job import Event
from edgewright.runtime import jsonio
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.errors import EdgewrightError, ExportError


def main(folder: Path) -> int:
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # converters print; only events may go to the pipe
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def report(event: Event) -> None:
        events.write(event.line())

    try:
        _convert(folder, report)
    except EdgewrightError as failure:
        report(Event(kind="error", reason=str(failure)))
    return 0


def _convert(folder: Path, report: Callable[[Event], None]) -> None:
    from edgewright.export.network import Edge, Network
    from edgewright.train.checkpoint import Checkpoint

    given = jsonio.read(folder / job.JOB, ExportError)
    calibration, test = np.load(folder / job.CALIBRATION), np.load(folder / job.TEST)
    checkpoint = Path(given.text("checkpoint"))
    network = Network(checkpoint, Checkpoint.open(checkpoint), Edge(**given.object("edge").data))
    np.save(folder / job.REFERENCE, network.scores(test))
    report(Event(kind="reference"))
    contracts = given.object("variants")
    for variant in variants.parse(",".join(contracts.data)):
        path = folder / variant.file
        chosen = formats.get(variant.format)
        try:
            conversion = chosen.export(network, variant.scheme, calibration, path)
            chosen.attach(path, ModelContract.from_json(contracts.object(variant.name)))
        except Exception as failure:  # a converter raises what it likes; the other variants go on
            path.unlink(missing_ok=True)
            reason = " ".join(str(failure).split())[:300] or type(failure).__name__
            report(Event(kind="failed", variant=variant.name, reason=f"cannot be converted: {reason}"))
        else:
            report(Event(kind="converted", variant=variant.name, conversion=dataclasses.asdict(conversion)))


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever sent; it returns when the other end is closed
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
