"""The page's work on the bundle that all tests share, and a server of it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewright.benchmarks.record.measurement import Plan
from edgewright.benchmarks.targets.browser import posted
from edgewright.benchmarks.targets.browser.server import Server
from edgewright.benchmarks.targets.browser.work import Work, prepare
from edgewright.export.exporter import Result
from edgewright.runtime import Bundle

Ask = Callable[..., tuple[int, dict[str, str], bytes]]
NAMES = ("tflite-float32", "tflite-int8", "onnx-int8")


@pytest.fixture(scope="session")
def work(exported: tuple[Path, Result]) -> Work:
    """Three files, six frames."""
    return prepare(Bundle.open(exported[0]), NAMES, (Plan(),))


@pytest.fixture
def heard() -> list[tuple[str, bytes, bool]]:
    """What the server handed on."""
    return []


@pytest.fixture
def server(work: Work, heard: list[tuple[str, bytes, bool]], tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "secret").write_text("not served")
    (tmp_path / "engine.wasm").write_bytes(b"\0asm" * 10)
    files = {
        "page.html": b"<p nonce={{nonce}}>",
        "assets/engine.wasm": tmp_path / "engine.wasm",
        **work.files,
    }

    def hear(name: str, raw: bytes, here: bool) -> None:
        posted.progress(raw, work)
        heard.append((name, raw, here))

    made = Server(files, frozenset({"progress"}), hear, "127.0.0.1")
    with made.serving():
        yield made


@pytest.fixture
def ask(server: Server) -> Ask:
    """A request of the path as it is given: status, headers, body."""

    def call(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", int(server.port), timeout=10)
        try:
            connection.putrequest(method, path, skip_host=False, skip_accept_encoding=True)
            raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
            if method == "POST" and "Content-Length" not in headers:
                headers["Content-Length"] = str(len(raw))
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            if raw:
                connection.send(raw)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    return call
