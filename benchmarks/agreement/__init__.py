"""Does another engine compute a .tflite file as LiteRT's CPU kernels do? It is asked, never believed.

An engine that says it takes a whole graph may still compute it wrongly, and may die of it. So each runs in a
process of its own, is given the same pixels as the CPU, and what it answers is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from numpy.typing import NDArray


class EngineError(Exception):
    """The engine refused a file or died of it; the message is one line, what it said of it."""


class NotAskedError(EngineError):
    """The engine cannot be asked of such tensors: of a part of a file this says nothing."""


class Running(Protocol):
    """A file in an engine, in a process of its own, which ends with `close`."""

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The file's outputs, raw as its own dtypes, of its inputs in their order.

        Raises:
            EngineError: it died, or refused.
        """
        ...

    def said(self) -> list[str]:
        """What it complained of so far, a line each, without what it says of any file."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *unused: object) -> None: ...


class Engine(Protocol):
    """A way to run a .tflite file that is held against the CPU.

    `steps` is how far one operator alone may be off in 8 bits, in steps of its output; `error` how far in
    floats, as a share of the output's largest magnitude.
    """

    name: str
    steps: int
    error: float

    def missing(self) -> str:
        """What this system lacks for it, and what to do, in one line; empty if nothing."""
        ...

    def open(self, raw: bytes) -> Running:
        """Start a process with a file of these bytes.

        Raises:
            EngineError: it does not take the file.
            TargetError: it cannot be set up here.
        """
        ...
