"""A process that runs one file and is told what to time: the end of it that asks.

Fresh, so that where its memory came to lie is drawn anew, and apart for a file that nobody vouched for.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from edgewright.runtime import backends, trust
from edgewright.runtime.backends import Pixels, Scores
from edgewright.runtime.disk import jsonio
from edgewright.runtime.disk.files import sha256_of
from edgewright.runtime.errors import EdgewrightError
from edgewright.runtime.machine.child import ChildProcess
from edgewright.runtime.trust import process

_SECONDS = 300.0  # for an answer: to open a large file and warm up, or a block of a slow one
_MODULE = "edgewright.benchmarks.compare.worker"


@dataclass(frozen=True, kw_only=True)
class Side:
    """A file of a bundle, or a lone one (`bundle` None), whose `size` is the height and width of pictures if
    it takes them of any; `engine` runs it, by default the backend of its suffix, in `copies` side by side.

    To try the method, `slow_down` is a share of each run that is waited after it; with 0 as well as with
    more the clock is asked once more a run, so that the two differ in nothing else.
    """

    name: str
    path: Path
    bundle: Path | None = None
    slow_down: float | None = None
    size: tuple[int, int] | None = None
    engine: str | None = None
    copies: int = 1


class Worker:
    """Close it, or use it in `with`. Every question raises `EdgewrightError`, with the last words of the
    process, if it has ended, or is not believed."""

    def __init__(self, side: Side, threads: int, core: int | None = None) -> None:
        """Start it: `threads` of the interpreter; `core` is the only one it runs on, once the file is open.

        Raises:
            ModelFileError: nobody vouched for the file, and its engine cannot be kept apart.
        """
        backend = backends.for_path(side.path, side.engine)
        apart = backend.available() and not trust.opens_here(sha256_of(side.path), backend)
        job = dataclasses.asdict(side) | {"threads": threads, "core": core, "apart": apart}
        job |= {key: str(job[key].resolve()) for key in ("path", "bundle") if job[key] is not None}
        told = json.dumps(job)
        if apart:
            trust.check_apart(backend, side.path, side.engine)
            reads = [job[key] for key in ("path", "bundle") if job[key] is not None]
            self._child = process.start(f"{_MODULE}:start", [told], reads=reads, log=True)
        else:
            self._child = ChildProcess([sys.executable, "-P", "-m", _MODULE, told], log=True)

    def warm(self, seconds: float) -> None:
        """Run until runs are steady, for at most so long."""
        self._ask({"do": "warm", "seconds": seconds}).flag("answer")

    def block(self, seconds: float) -> float:
        """The median nanoseconds of a run in a block of about so long; of several copies the time over the
        number of images of all of them."""
        told = self._ask({"do": "block", "seconds": seconds})
        if (median := told.number("answer")) <= 0:
            raise told.fail("answer", "a time above 0")
        return median

    def notes(self) -> list[str]:
        """What disturbed, and what is to be said of the images."""
        return list(self._ask({"do": "notes"}).texts("answer"))

    def kernels(self) -> str:
        """What computes."""
        return self._ask({"do": "kernels"}).text("answer")[:40]

    def peak_bytes(self) -> int:
        """The most memory that the process has had, all that it imports included."""
        return self._ask({"do": "memory"}).integer("answer")

    def scores(self, pixels: Pixels, count: int) -> Scores:
        """The scores, float32 `(n, count)`, of uint8 images `(n, height, width, channels)`, one by one."""
        most = 4 * len(pixels) * count
        told, raw = self._answer({"do": "scores", "shape": list(pixels.shape)}, pixels.tobytes(), most)
        if len(raw) != most:
            raise told.fail("bytes", f"{most} bytes of scores")
        return np.frombuffer(raw, np.float32).reshape(len(pixels), count)

    def _ask(self, question: Mapping[str, Any]) -> jsonio.JsonObject:
        return self._answer(question, b"", 0)[0]

    def _answer(self, question: Mapping[str, Any], raw: bytes, most: int) -> tuple[jsonio.JsonObject, bytes]:
        answer = self._child.ask(question, raw, seconds=_SECONDS, most=most)
        if answer is None:
            if self._child.late:
                raise EdgewrightError(f"a file keeps its interpreter busy for more than {_SECONDS:.0f} s")
            status = self._child.status()
            raise EdgewrightError(self._child.last_line() or f"measuring ended with status {status}")
        told = jsonio.JsonObject(answer[0], "the answer of a measuring process", EdgewrightError)
        return told, answer[1]

    def close(self) -> None:
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()
