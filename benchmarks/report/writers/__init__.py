"""Ways to write a report, each a file named as the suffix it writes, found by its name."""

from __future__ import annotations

from typing import Protocol

from edgewright.benchmarks.report.facts import Report


class Writer(Protocol):
    """What such a module's `WRITER` is."""

    def __call__(self, report: Report) -> bytes:
        """The file's bytes.

        Raises:
            MissingExtraError: a package that it needs is not installed.
        """
        ...
