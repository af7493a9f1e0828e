"""What any browser makes of a bundle's files: its answers to the golden images, and its times.

One page is served below a token. It runs each .tflite in LiteRT.js and each .onnx in onnxruntime-web, first
the golden images, then blocks of runs of all files in turn, forwards and backwards (ABBA), in as many fresh
frames as there are processes elsewhere; it posts raw samples, which become measurements here.
"""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.apps import web
from edgewright.apps.web import assets
from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.targets import Option, Say, Target
from edgewright.benchmarks.targets.browser import chromium
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import InputError, TargetError

if TYPE_CHECKING:
    from edgewright.benchmarks.targets.browser.posted import Device, Progress, Results

_PAGE = (".html", ".css", ".js")  # what lies beside this file for browsers
_POSTS = frozenset({"progress", "results", "failed"})
_MOST_DEVICES = 32
_SILENT = (
    180.0  # seconds until a device that says nothing is given up: a block of a large file on an old phone
)
_UNVISITED = 900.0  # until somebody has to open the page
_LONGEST = 6 * 3600.0  # that a device may take, however often it says something
_AFTER = 60.0  # that others may come once a device is done, with --lan


class Browser(Target):
    """A measurement a frame; `check` is how its scores stand to the recorded ones. `warm_run` are means of
    `calls_per_sample` runs, from pixels in JavaScript to scores there; `import` is an engine's start. A
    device that is not this machine has an `environment` of its own: name, cores, browser."""

    title = "any browser that opens a page, a phone's too"
    summary = (
        "a browser's WebAssembly engines, LiteRT.js and onnxruntime-web, each process a fresh frame of one "
        "page: wall time of blocks of runs, from pixels to scores in JavaScript"
    )
    repeats = True
    devices = True
    options = (
        Option(name="headless", help="open the page in Chromium without a window, which is on this machine"),
        Option(
            name="lan", help="let devices of this network open the page too: shows a QR code of its address"
        ),
        Option(
            name="https",
            help="with --lan: a certificate of its own, so that phones give threads and a finer clock",
        ),
        Option(name="assets", metavar="DIR", help="node_modules with the engines' packages, instead of npm"),
    )

    def missing(self) -> str:
        return assets.missing()

    def check(self, bundle: Bundle, variant: str, plan: Plan) -> None:
        from edgewright.benchmarks.targets.browser import work

        if {"headless", "lan"} <= set(plan.options):
            raise InputError(
                "expected --headless or --lan, got both: Chromium opens the page on this machine"
            )
        if "https" in plan.options and "lan" not in plan.options:
            raise InputError("expected --https with --lan, got it alone: a page from localhost needs none")
        if plan.threads > 1 and "lan" in plan.options and "https" not in plan.options:
            raise InputError(
                f"expected 1 thread with --lan, got {plan.threads}: a page that comes by plain http from "
                "another machine has no threads; add --https"
            )
        work.check(bundle.variant(variant))

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        plan = dataclasses.replace(plan, processes=1)
        return self.run_all(bundle, (variant,), (plan,), say=say)[0]

    def run_all(
        self,
        bundle: Bundle,
        variants: Sequence[str],
        plans: Sequence[Plan],
        done: Callable[[str], None] = lambda variant: None,
        say: Say = lambda line: None,
    ) -> list[Measurement]:
        from edgewright.benchmarks.measure import environment
        from edgewright.benchmarks.targets.browser import posted, qr, server, tls, work

        options = plans[0].options
        headless, lan = "headless" in options, "lan" in options
        if headless and (lacking := chromium.missing()):
            raise TargetError(f"target browser needs {lacking}")
        if lan:
            qr.check()
        if "https" in options:
            tls.check()
        host = server.lan_address() if lan else "127.0.0.1"
        engines = assets.ready(options.get("assets"), say)
        asked = work.prepare(bundle, variants, plans)
        pages = {p.name: p.read_bytes() for p in Path(__file__).parent.iterdir() if p.suffix in _PAGE}
        pages |= web.scripts()
        engine_files = {f"assets/{name}": path for name, path in engines.files.items()}
        heard: queue.Queue[Progress | Results | tuple[Device, str]] = queue.Queue(1000)
        surroundings = environment.describe()

        def hear(name: str, raw: bytes, here: bool) -> None:
            told: Any
            if name == "progress":
                told = posted.progress(raw, asked)
            elif name == "failed":
                told = posted.failed(raw)
            else:
                told = posted.results(raw, asked, surroundings, engines.versions, here)
            try:
                heard.put(told, timeout=5)
            except queue.Full:
                raise TargetError("too many posts at once; try again") from None

        own = tls.certificate(host) if "https" in options else None
        served = {**pages, **engine_files, **asked.files}
        opened = server.Server(served, _POSTS, hear, host, own.context if own else None)
        with opened.serving():
            visits = Visits(done, say, several=lan)
            if headless:
                with chromium.opened(opened.url) as alive:
                    return visits.wait(heard, alive)
            say(f"open {opened.url}")
            if lan:
                for line in qr.lines(opened.url):
                    say(line)
                if own:
                    say("browsers warn of a certificate that nobody knows; go on if its SHA-256 is")
                    say(own.fingerprint)
                say("every device that opens it is measured; it ends a minute after the last, or with Ctrl-C")
            return visits.wait(heard, lambda: None)


class Visits:
    """The devices that opened the page, and what came of them."""

    def __init__(self, done: Callable[[str], None], say: Say, *, several: bool) -> None:
        self._done, self._say, self._several = done, say, several
        self._active: dict[str, Device] = {}
        self._started: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._finished: dict[str, Device] = {}
        self._shown = ""  # whose progress is
        self._found: list[Measurement] = []
        self._failures: list[str] = []
        self._last = time.monotonic()

    def wait(self, heard: queue.Queue[Any], alive: Callable[[], None]) -> list[Measurement]:
        """Until a device is done, or with several all that came are; Ctrl-C ends it with what came in.

        Raises:
            TargetError: nobody came, or nothing was measured.
        """
        try:
            while not self._over():
                try:
                    self._take(heard.get(timeout=0.5))
                except queue.Empty:
                    alive()
        except KeyboardInterrupt:
            if not self._found:
                raise
        if not self._found:
            raise TargetError(next(iter(self._failures), "no file was measured in the browser"))
        return self._found

    def _over(self) -> bool:
        now = time.monotonic()
        for key, device in list(self._active.items()):
            if now - self._heard[key] > _SILENT:
                self._fail(device, f"it said nothing for {_SILENT:.0f} s; keep the page in front")
            elif now - self._started[key] > _LONGEST:
                self._fail(device, f"it took more than {_LONGEST / 3600:.0f} hours")
        if not self._finished and not self._active and not self._failures:
            if now - self._last > _UNVISITED:
                raise TargetError(
                    f"expected a browser to open the page within {_UNVISITED / 60:.0f} minutes, got none"
                )
            return False
        if not self._several:
            return bool(self._found) or not self._active
        return not self._active and now - self._last > _AFTER

    def _take(self, told: Any) -> None:
        from edgewright.benchmarks.targets.browser.posted import Results

        device = told[0] if isinstance(told, tuple) else told.device
        if device.key in self._finished:
            return
        if device.key not in self._active:
            if len(self._active) + len(self._finished) >= _MOST_DEVICES:
                return
            if not (self._several and self._shown):  # of one, who came last: a page may be loaded again
                self._shown = device.key
            self._started[device.key] = time.monotonic()
            self._say(f"measuring in {device.title}, {device.system}, {device.cores or 'unknown'} cores")
        self._last = self._heard[device.key] = time.monotonic()
        self._active[device.key] = device
        if isinstance(told, tuple):
            self._fail(device, told[1])
        elif isinstance(told, Results):
            self._end(device)
            for variant, why in told.refused.items():
                self._say(f"{variant} does not run in {device.title}: {why}")
            if not told.measurements:
                self._failures.append(f"{device.title} measured nothing: no file runs there")
            self._found += self._apart(told)
        elif told.variant and device.key == self._shown:
            self._done(told.variant)

    def _end(self, device: Device) -> None:
        self._active.pop(device.key, None)
        self._finished[device.key] = device
        if self._several:
            self._say(f"{device.title} is done")

    def _fail(self, device: Device, why: str) -> None:
        self._active.pop(device.key, None)
        self._finished[device.key] = device
        self._failures.append(f"{device.title} did not measure: {why}")
        self._say(self._failures[-1])

    def _apart(self, told: Results) -> list[Measurement]:
        """Its measurements; those of a second device of the same name say so, or they were one."""
        title = told.device.title
        before = [one for key, one in self._finished.items() if one.title == title and key != told.device.key]
        if not before:
            return told.measurements
        rename = partial(_named, number=len(before) + 1)
        return [dataclasses.replace(m, environment=rename(m.environment, title)) for m in told.measurements]


def _named(environment: Any, title: str, *, number: int) -> dict[str, Any]:
    cpu = environment["cpu"]
    return {**environment, "cpu": f"{cpu} {number}" if cpu == title else cpu}


TARGET = Browser()
