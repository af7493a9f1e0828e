"""What the exporting process and its converting child say to each other, JSON objects, a line each.

The child is told a model; it loads it and answers what it found. It is then told variants and a folder with
`calibration.npy` and `test.npy`; it writes the files and `reference.npy` there, and says of each thing that
it is done. So the model is loaded once, and looked at before any data is read.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.export.network.model import ONE_IMAGE, FileInterface, Model
from edgewright.export.repair.task import Repair
from edgewright.export.work.events import (
    Began,
    Converted,
    Event,
    Failed,
    ModelLoaded,
    ReferenceScored,
    Stopped,
    decode,
    encode,
)
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.errors import EdgewrightError, ExportError
from edgewright.runtime.machine.child import ChildProcess, receive, send, standard_pipes
from edgewright.train.datasets import Images

CALIBRATION, TEST, REFERENCE = "calibration.npy", "test.npy", "reference.npy"
REPAIR = "repair.npz"
_FRAMES = 50_000  # Keras walks a network by recursion, some frames a layer; these are no C frames


def serve(work: Callable[[Callable[[], dict[str, Any]], Callable[[Event], None]], None]) -> int:
    """The life of a child: `work(next_task, report)` in a process whose parent reads its standard output.

    The parent's end is the child's end, whatever it does then.
    """
    questions, events = standard_pipes()
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def listen() -> None:
        while (task := receive(questions)) is not None:
            tasks.put(task[0])
        os._exit(1)  # the parent is gone

    def report(event: Event) -> None:
        send(events, encode(event))

    threading.Thread(target=listen, daemon=True).start()
    sys.setrecursionlimit(_FRAMES)
    try:
        work(tasks.get, report)
    except EdgewrightError as failure:
        report(Stopped(reason=str(failure)))
    except RecursionError:
        report(Stopped(reason="expected a network less deep: its layers are too many to follow"))
    return 0


class ProcessEndedError(ExportError):
    """A child ended before it was done, without a word; `of` is what is lost with it, see `Began`."""

    def __init__(self, message: str, of: str) -> None:
        super().__init__(message)
        self.of = of


class Process(ChildProcess):
    """A child that runs `module` by `serve`. Close it, or use it in `with`; it also ends when this process
    does."""

    def __init__(self, module: str) -> None:
        super().__init__([sys.executable, "-P", "-m", module], log=True)
        self._began = Began(step="")

    def events(self) -> Generator[Event]:
        """What the child reports, but for the steps that begin. Raises `ExportError`, the line it failed
        with."""
        while (message := self.hear()) is not None:
            event = decode(message[0])
            if isinstance(event, Began):
                self._began = event
                continue
            if isinstance(event, Stopped):
                raise ExportError(event.reason)
            yield event

    def end(self) -> None:
        """Wait for it. Raises `ProcessEndedError`: it did not end well."""
        if self.status() != 0:
            raise self.ended()

    def ended(self) -> ProcessEndedError:
        """What became of a child that said nothing more: the step it was in, and the signal by name."""
        status, began = self.status(), self._began
        at = f" while {began.step}" if began.step else ""
        at += f" for {began.of}" if began.of else ""
        if status < 0:
            memory = "; is there enough memory?" if -status == signal.SIGKILL else ""
            how = f"ended by {signal.Signals(-status).name}{at}{memory}"
        else:
            how = f"ended with status {status}{at}: {self.last_line() or 'no message'}"
        return ProcessEndedError(f"the converting process {how}", began.of)


class Child(Process):
    """The converting process, for files of one `interface`."""

    def __init__(self, interface: FileInterface = ONE_IMAGE) -> None:
        super().__init__("edgewright.export.work.convert")
        self._interface = interface
        self._began = Began(step="starting")

    def load(self, model: Model, formats: Sequence[str] = ()) -> ModelLoaded:
        """Have it load `model`, and see in which of `formats` the network can be written at all.

        Raises:
            ExportError: it cannot be exported, with the layer that stands in the way.
            ProcessEndedError: the process ended.
        """
        interface = dataclasses.asdict(self._interface)
        self.tell({"model": model.to_json(), "interface": interface, "formats": list(formats)})
        event = next(self.events(), None)
        if not isinstance(event, ModelLoaded):
            raise self.ended()
        return event

    def convert(
        self,
        folder: Path,
        contracts: Mapping[str, ModelContract],
        calibration: Images,
        *,
        reference: bool,
        fine_tuned: Mapping[str, Model] | None = None,
        repair: Repair | None = None,
    ) -> Generator[Event]:
        """Have it write a file a variant into `folder`, and yield what it reports.

        Args:
            folder: for the `reference`, the model's own scores, test images have to lie there as `TEST`.
            contracts: what the file of each variant is to say of itself.
            calibration: uint8 `(n, height, width, channels)`.
            fine_tuned: models that passes made, by `Variant.chain`.
            repair: what static 8-bit files are mended by; None: they are written as they come.

        Raises:
            ExportError: the child failed, with the line it failed with.
            ProcessEndedError: it ended before all was reported.
        """
        np.save(folder / CALIBRATION, calibration)
        if repair:
            repair.save(folder / REPAIR)
        self.tell(
            {
                "folder": str(folder),
                "reference": reference,
                "contracts": {variant: contract.to_json() for variant, contract in contracts.items()},
                "fine_tuned": {chain: model.to_json() for chain, model in (fine_tuned or {}).items()},
                **({"repair": repair.settings()} if repair else {}),
            }
        )
        waiting = {*contracts} | ({REFERENCE} if reference else set())
        for event in self.events():
            if isinstance(event, Converted | Failed):
                waiting.discard(event.variant)
            elif isinstance(event, ReferenceScored):
                waiting.discard(REFERENCE)
            yield event
            if not waiting:
                break
        if waiting:
            raise self.ended()
        self.close()  # nothing it does after its last word matters
