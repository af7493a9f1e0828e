"""The converting child: the only process of an export that has TensorFlow.

python -P -m edgewright.export.convert      (see `edgewright.export.job`)
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.export import formats, job, variants
from edgewright.export.job import Event
from edgewright.export.model import Edge, Model
from edgewright.runtime import jsonio
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.errors import EdgewrightError, ExportError
from edgewright.train.stack import import_keras

if TYPE_CHECKING:
    from edgewright.export.network import Network

_FRAMES = 50_000  # Keras walks a network by recursion, some frames a layer; these are no C frames


def main() -> int:
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # converters print; only events may go to the pipe
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    sys.setrecursionlimit(_FRAMES)

    def report(event: Event) -> None:
        events.write(event.line())

    try:
        import_keras()  # while the parent still reads
        from edgewright.export.network import Network

        task = tasks.get()
        model = Model.from_json(jsonio.JsonObject(task["model"], "the task", ExportError))
        network = Network(model, Edge(**task["edge"]))
        facts = network.facts()
        _refuse_what_no_format_takes(network, task["formats"])
        report(Event(kind="loaded", facts=facts.to_json()))
        _convert(network, Path(tasks.get()["folder"]), report)
    except EdgewrightError as failure:
        report(Event(kind="error", reason=str(failure)))
    except RecursionError:
        report(Event(kind="error", reason="expected a network less deep: its layers are too many to follow"))
    return 0


def _refuse_what_no_format_takes(network: Network, names: Sequence[str]) -> None:
    """Write the plain float file of each format, which others start from: what fails now would fail later."""
    nothing = np.empty((0, *network.shape), np.uint8)
    for name in names:
        chosen = formats.get(name)
        plain = [scheme for scheme, settings in chosen.schemes.items() if not settings.calibrated]
        if plain:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    chosen.export(network, plain[0], nothing, Path(folder, f"plain{chosen.suffix}"))
                except Exception as failure:  # a converter raises what it likes
                    raise ExportError(
                        f"{name} files cannot hold this network, {network.graph.blame(failure)}; "
                        "change it, or name variants of another format with --variants"
                    ) from failure


def _convert(network: Network, folder: Path, report: Callable[[Event], None]) -> None:
    given = jsonio.read(folder / job.JOB, ExportError)
    if given.flag("reference"):
        np.save(folder / job.REFERENCE, network.scores(np.load(folder / job.TEST)))
        report(Event(kind="reference"))
    calibration = np.load(folder / job.CALIBRATION)
    contracts = given.object("variants")
    for variant in variants.parse(",".join(contracts.data)) if contracts.data else ():
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


def _listen(tasks: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        tasks.put(json.loads(line))
    os._exit(1)  # the parent is gone


if __name__ == "__main__":
    sys.exit(main())
