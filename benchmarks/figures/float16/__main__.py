"""Times float16 files against float32 files of the same networks, natively and in LiteRT.js in a browser.

    python -m edgewright.benchmarks.figures.float16 BUNDLE… --modules node_modules --out DIR

`node_modules` holds `@litertjs/core`; `chromium` has to be on the PATH. Both files are open in one process or
page and take turns. LiteRT.js runs its wasm kernels on one thread. It takes three minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.benchmarks.figures import interleaved, publish, script
from edgewright.benchmarks.figures.overhead import bare
from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.record.stats import paired_ratio
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import EdgewrightError, InputError, MissingExtraError

FILES = ("tflite-float16", "tflite-float32")
OPENINGS = 12
_PAGE = Path(__file__).with_name("page.html")
_CORE = "@litertjs/core"


def natively(bundle: Bundle, seconds: float) -> publish.Row:
    """The ratio of the bare interpreter's times, with that of fresh openings."""
    paths = [bundle.path(bundle.variant(name).file) for name in FILES]
    pixels = np.random.default_rng(0).integers(0, 256, (1, *bundle.manifest.input.shape), np.uint8)

    def opened() -> tuple[interleaved.Work, interleaved.Work]:
        half, single = map(bare.litert, paths)
        return lambda: half(pixels), lambda: single(pixels)

    half, single = (bare.litert(path)(pixels) for path in paths)
    ratio = interleaved.over_openings(opened, seconds, OPENINGS)
    return {**publish.ratio(ratio, 4), "max_abs_error": float(np.abs(half - single).max()), **of(bundle)}


def of(bundle: Bundle) -> publish.Row:
    """Which files are compared."""
    sums = (bundle.variant(name).file.sha256 for name in FILES)
    return dict(zip(("file_sha256", "against_sha256"), sums, strict=True))


def in_the_browser(bundles: Sequence[Bundle], modules: Path, seconds: float) -> list[publish.Row]:
    """The same of LiteRT.js, a row a bundle.

    Raises:
        MissingExtraError: no Chromium.
        EdgewrightError: the page failed, or said nothing.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise MissingExtraError("a Chromium on the PATH, which runs LiteRT.js,", "bench")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        shutil.copy(_PAGE, folder / "index.html")
        (folder / "node_modules").symlink_to(modules.resolve())
        job = []
        for place, bundle in enumerate(bundles):
            for file in FILES:
                shutil.copy(bundle.path(bundle.variant(file).file), folder / f"{place}-{file}.tflite")
            files = [f"{place}-{file}.tflite" for file in FILES]
            job.append({"files": files, "shape": [1, *bundle.manifest.input.shape]})
        told = {"job": job, "openings": OPENINGS, "milliseconds": 1000 * seconds / OPENINGS}
        (folder / "job.json").write_text(json.dumps(told))
        said = _said(folder, chromium, timeout=60 + 6 * seconds * len(bundles))
    if "error" in said:
        raise EdgewrightError(f"LiteRT.js failed in {chromium}: {said['error']}")
    return [
        {
            **publish.ratio(paired_ratio([statistics.median(ratios) for ratios in one["ratios"]]), 4),
            "max_abs_error": one["max_abs_error"],
            **of(bundle),
        }
        for bundle, one in zip(bundles, said["found"], strict=True)
    ]


def _said(folder: Path, chromium: str, timeout: float) -> Any:
    """What the page in the folder posts when it is done."""
    posted: list[bytes] = []
    done = threading.Event()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *words: Any) -> None:
            super().__init__(*words, directory=str(folder))

        def end_headers(self) -> None:  # isolated pages have the finer clock
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

        def log_message(self, format: str, *words: Any) -> None: ...  # noqa: A002  (as it is called)

        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()
            done.set()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, tempfile.TemporaryDirectory() as profile:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        browser = subprocess.Popen(
            [chromium, *words, f"http://127.0.0.1:{server.server_port}/index.html"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if not done.wait(timeout):
                raise EdgewrightError(f"expected figures of LiteRT.js within {timeout:.0f} s, got none")
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
    return json.loads(posted[0])


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--modules", type=Path, required=True, help=f"a node_modules with {_CORE}")
    parser.add_argument("--seconds", type=float, default=12.0, help="for each ratio (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    core = jsonio.read(arguments.modules / _CORE / "package.json", InputError).text("version")
    bundles = [Bundle.open(folder) for folder in arguments.bundles]
    surroundings = environment.describe()
    surroundings["versions"] |= {_CORE: core}
    rows = []
    for bundle in bundles:
        rows.append(
            {"recipe": bundle.manifest.name, "engine": "LiteRT", **natively(bundle, arguments.seconds)}
        )
    found = in_the_browser(bundles, arguments.modules, arguments.seconds)
    for bundle, row in zip(bundles, found, strict=True):
        rows.append({"recipe": bundle.manifest.name, "engine": "LiteRT.js, wasm", **row})
    publish.write(arguments.out / "float16.json", surroundings, rows)
    return 0


if __name__ == "__main__":
    script.run(main)
