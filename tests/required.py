"""Skips are counted and listed at the end, and fail where EDGEWRIGHT_REQUIRED is set: what could not run has
tested nothing, and green would say otherwise.

`.ci/run` sets it, as it installs what tests need. `tests/skips.toml` lists what may be skipped even there:

    [[allowed]]
    test = "tests/benchmarks/targets/adb/test_target.py::test_bench_of_a_phone"   # with all its parameters
    reason = "network namespace"    # part of what the skip says
    where = "not root"              # optional: of whom alone it is expected

A test that is listed there and runs all the same fails too, so that the list stays true.
"""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REQUIRED = "EDGEWRIGHT_REQUIRED"
ALLOWED = Path("tests", "skips.toml")
_PLACES = {"": lambda: True, "not root": lambda: not hasattr(os, "geteuid") or os.geteuid() != 0}


@dataclass(frozen=True)
class Allowed:
    """A skip that is expected."""

    test: str
    reason: str
    where: str = ""

    def names(self, test: str) -> bool:
        return test == self.test or test.startswith(f"{self.test}[")

    def here(self) -> bool:
        return _PLACES[self.where]()


def read_allowed(file: Path) -> list[Allowed]:
    """The list; none where there is no file. Raises TypeError or KeyError if it says what nobody reads."""
    if not file.exists():
        return []
    entries = [Allowed(**one) for one in tomllib.loads(file.read_text(encoding="utf-8")).get("allowed", [])]
    for entry in entries:
        _PLACES[entry.where]
    return entries


class Skips:
    """The plugin. `allowed` are the skips that are expected, `required` says whether others fail."""

    def __init__(self, allowed: list[Allowed], required: bool) -> None:
        self._allowed, self._required = [entry for entry in allowed if entry.here()], required

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        report = yield
        entry = next((entry for entry in self._allowed if entry.names(item.nodeid)), None)
        if report.skipped and not hasattr(report, "wasxfail"):
            if entry is None or entry.reason not in _reason(report):
                self._refuse(report)
        elif entry is not None and report.when == "call" and report.passed and self._required:
            report.outcome = "failed"
            report.longrepr = (
                f"expected a skip, as {ALLOWED} lists {entry.test}, got a test that runs: take it off"
            )
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, Any, Any]:
        report = yield
        if report.outcome == "skipped":
            self._refuse(report)
        return report

    def _refuse(self, report: Any) -> None:
        if self._required:
            report.outcome = "failed"
            report.longrepr = (
                f"expected to run, as {REQUIRED} is set, got a skip: {_reason(report)}; "
                f"install what it needs, or list it in {ALLOWED}"
            )

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        found = Counter(map(_reason, terminalreporter.stats.get("skipped", ())))
        if found:
            terminalreporter.section("skips" + (f", all of {ALLOWED}" if self._required else ""))
        for reason, count in sorted(found.items()):
            terminalreporter.write_line(f"{count:5} {reason}")


def _reason(report: Any) -> str:
    found = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return found.removeprefix("Skipped: ")


def pytest_configure(config: pytest.Config) -> None:
    skips = Skips(read_allowed(config.rootpath / ALLOWED), bool(os.environ.get(REQUIRED)))
    config.pluginmanager.register(skips, "edgewright-skips")
