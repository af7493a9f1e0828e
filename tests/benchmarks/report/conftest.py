"""Measurements as bench writes them, and a headless Chromium.

The browser is spoken to by the DevTools protocol through two pipes: that takes no driver and no library.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edgewright.benchmarks.record.measurement import Measurement
from edgewright.runtime.disk import jsonio

WriteBench = Callable[..., Path]

_SECONDS = 60
_ON_PIPES = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One page of one browser. `events` are what it reported, in its own words."""

    def __init__(self, program: str, profile: Path) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        command = [
            *(sys.executable, "-c", _ON_PIPES, str(to_read), str(to_write), program),
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"),
            *("--disable-dev-shm-usage", f"--user-data-dir={profile}", "about:blank"),
        ]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, pass_fds=(to_read, to_write), **quiet)  # type: ignore[call-overload]
        os.close(to_read)
        os.close(to_write)
        self.events: list[dict[str, Any]] = []
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._count = 0
        self._session: dict[str, str] = {}
        self._loaded = threading.Event()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        pages = self.do("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        attached = self.do("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its result."""
        self._count += 1
        asked = {"id": self._count, "method": method, "params": parameters, **self._session}
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        while True:
            answer = self._answers.get(timeout=_SECONDS)
            if answer["id"] == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, page: Path) -> None:
        """Show a page and wait until it is loaded."""
        self._loaded.clear()
        self.do("Page.navigate", url=page.resolve().as_uri())
        assert self._loaded.wait(_SECONDS)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def reported(self, *methods: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event["method"] in methods]

    def _listen(self) -> None:
        rest = b""
        while found := os.read(self._read, 2**20):
            *whole, rest = (rest + found).split(b"\0")
            for message in map(json.loads, whole):
                if "id" in message:
                    self._answers.put(message)
                else:
                    self.events.append(message)
                    if message["method"] == "Page.loadEventFired":
                        self._loaded.set()

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._write)  # it ends when nobody can speak to it
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(10)
        os.close(self._read)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("there is no chromium on PATH")
    found = Browser(program, tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="session")
def write_bench() -> WriteBench:
    """Write measurements as `edgewright bench` does, of variants that take so many milliseconds."""

    def write(
        path: Path,
        variants: Mapping[str, float],
        *,
        bundle: str = "fashion-mlp",
        processes: int = 6,
        notes: Callable[[str], list[str]] = lambda name: [],
        surroundings: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Path:
        environment = {"cpu": "Test CPU", "cores": 2, "load_1min": 0.5, **(surroundings or {})}
        found = []
        for process in range(processes):
            for name, ms in variants.items():
                runs = [
                    round(ms * 1e6 * (1 + 0.001 * (process - 2.5) + 0.0001 * (i - 49.5))) for i in range(100)
                ]
                found.append(
                    Measurement(
                        **{
                            "variant": name,
                            "target": "local",
                            "threads": 1,
                            "kernels": "xnnpack",
                            "samples_ns": {"load": [3_000_000], "warm_run": runs},
                            "peak_rss_bytes": 50_000_000 + process,
                            "base_rss_bytes": 40_000_000,
                            "environment": environment,
                            "notes": notes(name),
                            **changes,
                        }
                    )
                )
        data = {
            "schema_version": 1,
            "bundle": bundle,
            "plan": {},
            "environment": environment,
            "measurements": [dataclasses.asdict(m) for m in found],
        }
        path.write_bytes(jsonio.dump(data))
        return path

    return write
