"""A browser that is asked: what it answers is checked, what ends it is an error that says so."""

from __future__ import annotations

import base64
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.apps.web.assets import Assets
from edgewright.benchmarks.agreement import EngineError, NotAskedError
from edgewright.benchmarks.targets.browser import asking, chromium
from edgewright.runtime.errors import TargetError
from tests.benchmarks.agreement.planted import net

Answer = Callable[[dict[str, Any], Callable[[str], bytes]], dict[str, Any]]


def _browser(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> asking.InBrowser:
    """An engine whose browser is a thread that answers so."""

    @contextmanager
    def opened(url: str) -> Iterator[Callable[[], None]]:
        ended = threading.Event()

        def work() -> None:
            number = 0
            while not ended.wait(0.01):
                try:
                    raw = urllib.request.urlopen(f"{url}ask-{number}.json", timeout=5).read()
                except OSError:
                    continue
                told = answer(
                    json.loads(raw), lambda name: urllib.request.urlopen(url + name, timeout=5).read()
                )
                body = json.dumps({"number": number, **told}).encode()
                request = urllib.request.Request(f"{url}answer", body)
                number += 1
                try:
                    urllib.request.urlopen(request, timeout=5).close()
                except OSError:
                    continue

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield lambda: None
        ended.set()
        thread.join(5)

    monkeypatch.setattr(chromium, "opened", opened)
    return asking.InBrowser("tflite", Assets(files={}, webgpu={}, versions={}))


def _doubling(ask: dict[str, Any], fetched: Callable[[str], bytes]) -> dict[str, Any]:
    if "model" in ask:
        return {} if fetched(ask["model"]) == net() else {"error": "another\nfile"}
    given = np.frombuffer(fetched(ask["inputs"][0]["name"]), ask["inputs"][0]["dtype"])
    raw = base64.b64encode((2 * given).astype(np.float32).tobytes()).decode()
    return {"outputs": [{"kind": "Float32Array", "shape": ask["inputs"][0]["shape"], "data": raw}]}


def test_arrays_go_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _browser(monkeypatch, _doubling)
    with engine.open(net()) as running:
        (got,) = running.run([np.array([[1, 2.5]], np.float32)])
        np.testing.assert_array_equal(got, np.array([[2, 5]], np.float32))
        with pytest.raises(NotAskedError, match="is not asked with float64"):
            running.run([np.zeros(1)])
    engine.stop()


@pytest.mark.parametrize(
    "output",
    [
        {"kind": "Float32Array", "shape": [2], "data": base64.b64encode(b"1234").decode()},
        {"kind": "Float32Array", "shape": [-1], "data": ""},
        {"kind": "Float32Array", "shape": [10**12], "data": ""},
        {"kind": "Object", "shape": [1], "data": "AAAA"},
        {"kind": "Float32Array", "shape": [1], "data": "no base64"},
        {"kind": "Float32Array", "shape": "1", "data": ""},
        None,
    ],
)
def test_what_is_no_array_is_refused(monkeypatch: pytest.MonkeyPatch, output: Any) -> None:
    def answer(ask: dict[str, Any], fetched: Callable[[str], bytes]) -> dict[str, Any]:
        return {} if "model" in ask else {"outputs": [output]}

    engine = _browser(monkeypatch, answer)
    with engine.open(net()) as running, pytest.raises(EngineError, match="what is no answer"):
        running.run([np.zeros((1, 2), np.float32)])
    engine.stop()


def test_engine_that_refuses_or_ends_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _browser(monkeypatch, lambda ask, fetched: {"error": "Node number 3\n(GELU)"})
    with pytest.raises(EngineError, match=r"^Node number 3 \(GELU\)$"):
        engine.open(net())
    engine.stop()

    @contextmanager
    def ended(url: str) -> Iterator[Callable[[], None]]:
        def alive() -> None:
            raise TargetError("chromium ended with status 139")

        yield alive

    monkeypatch.setattr(chromium, "opened", ended)
    with pytest.raises(EngineError, match="status 139"):
        engine.open(net())
    assert engine._files is None  # the next question starts another


def test_tensors_that_litert_js_has_not_are_not_asked(
    monkeypatch: pytest.MonkeyPatch, exported: tuple[Path, Any]
) -> None:
    engine = _browser(monkeypatch, _doubling)
    raw = net()
    monkeypatch.setattr(asking, "OF_LITERT_JS", frozenset(("complex64",)))
    with pytest.raises(NotAskedError, match=r"LiteRT\.js has tensors of complex64, none of "):
        engine.open(raw)
