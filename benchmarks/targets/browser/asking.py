"""The browser's engines as engines of `edgewright.benchmarks.agreement`: any file, or a part of one, is
opened and run in a Chromium without a window, which takes one question after the other.

What it answers is checked for what arrays can be. It ends with the `with` block, and is started anew where a
file has ended or stopped it.
"""

from __future__ import annotations

import base64
import contextlib
import math
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from edgewright.apps import web
from edgewright.apps.web import assets
from edgewright.benchmarks.agreement import EngineError, NotAskedError
from edgewright.benchmarks.targets import Say
from edgewright.benchmarks.targets.browser import chromium, server
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import TargetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SECONDS = 60.0  # to start, to open a file, or to run it
_MOST_TEXT = 300
_ARRAYS = {
    "Uint8Array": "uint8",
    "Int8Array": "int8",
    "Int32Array": "int32",
    "BigInt64Array": "int64",
    "Float32Array": "float32",
    "Uint16Array": "float16",
    "Float16Array": "float16",
}
_TAKEN = ("uint8", "int8", "int32", "int64", "float32")
OF_LITERT_JS = frozenset(("uint8", "int32", "float32"))  # its tensors, which go in and out


def missing() -> str:
    """What this system lacks for it, and what to do; empty if nothing."""
    lacking = chromium.missing().partition(" for --headless")[0]
    return assets.missing() or (f"{lacking} on PATH (install chromium)" if lacking else "")


@contextlib.contextmanager
def engine(format: str, say: Say = lambda line: None) -> Iterator[InBrowser]:  # noqa: A002 - as bundles call it
    """An engine of `tflite` or `onnx` files until the block ends.

    Raises:
        TargetError: its packages cannot be fetched.
    """
    made = InBrowser(format, assets.ready(None, say))
    try:
        yield made
    finally:
        made.stop()


class InBrowser:
    """See `edgewright.benchmarks.agreement.Engine`; made by `engine`."""

    steps, error = 2, 1e-4

    def __init__(self, format: str, engines: assets.Assets) -> None:  # noqa: A002
        self.format, self._engines = format, engines
        self.name = {"tflite": "LiteRT.js", "onnx": "onnxruntime-web"}[format]
        self._stack = contextlib.ExitStack()
        self._files: dict[str, bytes | Path] | None = None  # of its server, None without one
        self._alive: Callable[[], None] = lambda: None
        self._heard: queue.Queue[jsonio.JsonObject] = queue.Queue()
        self._number = 0

    def missing(self) -> str:
        return missing()

    def open(self, raw: bytes) -> Opened:
        return Opened(self, raw)

    def ask(self, told: dict[str, Any], files: dict[str, bytes]) -> jsonio.JsonObject:
        """What the page answers to a question with these files.

        Raises:
            EngineError: the engine refuses, the browser has ended, or takes too long.
        """
        served = self._serving()
        number, self._number = self._number, self._number + 1
        served |= files  # before the question that names them
        name = f"ask-{number}.json"
        served[name] = jsonio.dump(told, indent=None)
        end = time.monotonic() + _SECONDS
        try:
            while True:
                try:
                    answer = self._heard.get(timeout=0.2)
                    if answer.integer("number") == number:
                        break
                except queue.Empty:
                    self._alive()
                    if time.monotonic() > end:
                        raise EngineError(f"{self.name} takes more than {_SECONDS:.0f} s") from None
        except (EngineError, TargetError) as failure:
            self.stop()
            raise EngineError(_line(str(failure))) from failure
        finally:
            for key in (name, *files):
                served.pop(key, None)
        if answer.has("error"):
            raise EngineError(_line(answer.text("error")))
        return answer

    def _serving(self) -> dict[str, bytes | Path]:
        """The files of the server, which is started with its browser if there is none."""
        if self._files is not None:
            return self._files
        folder = Path(__file__).parent
        files: dict[str, bytes | Path] = {
            "page.html": (folder / "ask.html").read_bytes(),
            "ask.js": (folder / "ask.js").read_bytes(),
            **web.scripts(),
            **{f"assets/{name}": path for name, path in self._engines.files.items()},
        }
        heard: queue.Queue[jsonio.JsonObject] = queue.Queue()

        def hear(name: str, raw: bytes, here: bool) -> None:
            heard.put(jsonio.parse(raw, "what a browser answered", TargetError))

        opened = server.Server(files, frozenset({"answer"}), hear, "127.0.0.1")
        self._stack.enter_context(opened.serving())
        self._alive = self._stack.enter_context(chromium.opened(opened.url))
        self._files, self._heard, self._number = files, heard, 0
        return files

    def stop(self) -> None:
        """End the browser; the next question starts another."""
        self._stack.close()
        self._files = None


class Opened:
    """A file in it, see `edgewright.benchmarks.agreement.Running`."""

    def __init__(self, engine: InBrowser, raw: bytes) -> None:
        self._engine = engine
        if engine.format == "tflite":
            _check_tensors(raw, engine.name)
        engine.ask({"model": "model", "format": engine.format}, {"model": raw})

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        import numpy as np

        for one in inputs:
            if one.dtype.name not in _TAKEN:
                raise NotAskedError(f"{self._engine.name} is not asked with {one.dtype.name}")
        told = [
            {"name": f"input-{place}", "dtype": one.dtype.name, "shape": list(one.shape)}
            for place, one in enumerate(inputs)
        ]
        files = {f"input-{place}": np.ascontiguousarray(one).tobytes() for place, one in enumerate(inputs)}
        answer = self._engine.ask({"inputs": told}, files)
        try:
            return [_array(output) for output in answer.objects("outputs")]
        except (TargetError, ValueError) as failure:
            raise EngineError(
                f"{self._engine.name} answers what is no answer: {_line(str(failure))}"
            ) from failure

    def said(self) -> list[str]:
        return []

    def close(self) -> None:
        """Its memory is taken again with the next file, or with the page."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def _check_tensors(raw: bytes, name: str) -> None:
    """Raises `NotAskedError`: what goes in or out is of a dtype that LiteRT.js has no tensors of."""
    from edgewright.runtime import backends

    file = backends.get("litert").parse(Path("model.tflite"), raw)
    other = sorted({spec.dtype for spec in (*file.inputs, *file.outputs)}.difference(OF_LITERT_JS))
    if other:
        known = ", ".join(sorted(OF_LITERT_JS))
        raise NotAskedError(f"{name} has tensors of {known}, none of {', '.join(other)}")


def _array(told: jsonio.JsonObject) -> NDArray[Any]:
    """Raises `TargetError`, `ValueError`: it is no array."""
    import numpy as np

    dtype = np.dtype(_ARRAYS[told.choice("kind", tuple(_ARRAYS))])
    shape = told.integers("shape")
    raw = base64.b64decode(told.text("data"), validate=True)
    if len(shape) > 16 or min(shape, default=0) < 0 or len(raw) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(raw)} bytes for {list(shape)[:16]}")
    return np.frombuffer(raw, dtype).reshape(shape)


def _line(text: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in text[: 4 * _MOST_TEXT])
    return " ".join(plain.split())[:_MOST_TEXT]
