"""A host of plain files, as a page is put on, and engines for browsers."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgewright.runtime.bundle.manifest import MANIFEST, Manifest
from edgewright.runtime.contract import stamp
from edgewright.runtime.disk import jsonio

PLAIN = "plain.example"  # the browser of the tests takes it for this machine, and not for a secure context


class _Files(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


class Host:
    """Serves a folder on a port of its own."""

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(_Files, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url, self.plain = f"http://127.0.0.1:{self.port}/", f"http://{PLAIN}:{self.port}/"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def host() -> Iterator[Callable[[Path], Host]]:
    opened: list[Host] = []

    def serve(folder: Path) -> Host:
        opened.append(Host(folder))
        return opened[-1]

    yield serve
    for one in opened:
        one.close()


def _change(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = json.loads((bundle / MANIFEST).read_bytes())
    change(data)
    data["sha256"] = "0" * 64
    raw = stamp(jsonio.dump(data))
    (bundle / MANIFEST).write_bytes(raw)
    (bundle / "labels.txt").write_bytes("".join(f"{label}\n" for label in data["labels"]).encode())
    Manifest.from_bytes(raw, "x")


@pytest.fixture(scope="session")
def changed() -> Callable[[Path, Callable[[dict[str, Any]], None]], None]:
    """Have a bundle's manifest say something else, hash and labels included."""
    return _change


@pytest.fixture(scope="session")
def engines(engines_cache: Path) -> Path:
    """A folder with the packages of the engines, as --assets takes it."""
    (found,) = (engines_cache / "targets").iterdir()
    return found
