"""What any browser makes of a bundle's files: its answers to the golden images, and its times.

One page is served below a token. It runs each .tflite in LiteRT.js and each .onnx in onnxruntime-web, first
the golden images, then blocks of runs of all files in turn, forwards and backwards (ABBA), in as many fresh
frames as there are processes elsewhere; it posts raw samples, which become measurements here.
"""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Callable, Mapping, Sequence
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
    from edgewright.benchmarks.targets.browser.work import Work

_PAGE = ("page.html", "page.css", "page.js", "device.js", "frame.html", "frame.js")
_POSTS = frozenset({"progress", "results", "failed"})
_MOST_DEVICES = 32
_SILENT = (
    180.0  # seconds until a device that says nothing is given up: a block of a large file on an old phone
)
_UNVISITED = 900.0  # until somebody has to open the page
_LONGEST = 6 * 3600.0  # that a device may take, however often it says something
_AFTER = 60.0  # that others may come once a device is done, with --lan


_ALONE = {
    "https": "a page from localhost needs none",
    "webgpu": "a browser of yours uses its GPU anyway",
}


class Browser(Target):
    """A measurement a frame; `check` is how its scores stand to the recorded ones. `warm_run` are means of
    `calls_per_sample` runs, from pixels in JavaScript to scores there; `import` is an engine's start. A
    device that is not this machine has an `environment` of its own: name, cores, browser."""

    title = "any browser that opens a page, a phone's too"
    summary = (
        "a browser's engines, LiteRT.js and onnxruntime-web, in WebAssembly and, as browser-webgpu, on its "
        "GPU, each process a fresh frame of one page: wall time of blocks of runs, from pixels to scores in "
        "JavaScript"
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
        Option(
            name="webgpu",
            help="with --headless: WebGPU too; in software where there is no GPU: its answers alone",
        ),
        Option(
            name="static",
            metavar="DIR",
            help="write the page into DIR for any HTTPS host, and measure nothing: see --results",
        ),
        Option(
            name="results",
            metavar="FILE",
            help="what a device gave to take along from the page of --static, instead of measuring",
        ),
        Option(name="assets", metavar="DIR", help="node_modules with the engines' packages, instead of npm"),
    )

    def missing(self) -> str:
        return assets.missing()

    def check(self, bundle: Bundle, variant: str, plan: Plan) -> None:
        from edgewright.benchmarks.targets.browser import work

        ways = [name for name in ("headless", "lan", "static", "results") if name in plan.options]
        if len(ways) > 1:
            raise InputError(
                f"expected one of --headless, --lan, --static and --results, got --{' and --'.join(ways)}: "
                "these are ways to open the page, or to do without"
            )
        for name, needed in (("https", "lan"), ("webgpu", "headless")):
            if name in plan.options and needed not in plan.options:
                raise InputError(f"expected --{name} with --{needed}, got it alone: {_ALONE[name]}")
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
        from edgewright.benchmarks.targets.browser import qr, static, tls, work

        options = plans[0].options
        if "results" in options:
            asked = work.prepare(bundle, variants, plans)
            told = static.read(Path(options["results"]), asked, environment.describe())
            visits = Visits(done, say, several=False)
            return visits.wait(_once(told), lambda: None)
        if "headless" in options and (lacking := chromium.missing()):
            raise TargetError(f"target browser needs {lacking}")
        if "lan" in options:
            qr.check()
        if "https" in options:
            tls.check()
        if "static" in options:
            static.check_free(Path(options["static"]))
        engines = assets.ready(options.get("assets"), say)
        also = static.told(bundle, variants, plans, engines.versions) if "static" in options else {}
        asked = work.prepare(bundle, variants, plans, webgpu=True, **also)
        if "static" in options:
            size = static.write(Path(options["static"]), *served(engines), asked)
            say(f"wrote {options['static']}, {size / 2**20:.0f} MiB: put it on any HTTPS host, open it there")
            say(f"what a device gives to take along is read by: {also['take']}")
            return []
        return measured(asked, engines, options, done, say)


def served(engines: assets.Assets) -> tuple[dict[str, bytes], dict[str, Path]]:
    """The page, and the engines' files."""
    pages = {name: Path(__file__).with_name(name).read_bytes() for name in _PAGE} | web.scripts()
    return pages, {f"assets/{name}": path for name, path in {**engines.files, **engines.webgpu}.items()}


def measured(
    asked: Work,
    engines: assets.Assets,
    options: Mapping[str, str],
    done: Callable[[str], None] = lambda variant: None,
    say: Say = lambda line: None,
) -> list[Measurement]:
    """Serve the page with what is asked of it, and wait for what comes of it; `options` are the target's.

    Raises:
        TargetError: nobody came, or nothing was measured.
    """
    from edgewright.benchmarks.measure import environment
    from edgewright.benchmarks.targets.browser import posted, qr, server, tls

    lan = "lan" in options
    host = server.lan_address() if lan else "127.0.0.1"
    pages, engine_files = served(engines)
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
    files = {**pages, **engine_files, **asked.files}
    opened = server.Server(files, _POSTS, hear, host, own.context if own else None)
    with opened.serving():
        visits = Visits(done, say, several=lan)
        if "headless" in options:
            with chromium.opened(opened.url, _words(options)) as alive:
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


def _words(options: Mapping[str, str]) -> Sequence[str]:
    """What Chromium is started with, so that it has WebGPU if it is to."""
    from edgewright.benchmarks.targets.gpu import devices

    if "webgpu" not in options:
        return ()
    return chromium.ON_GPU if devices.real() else chromium.IN_SOFTWARE


def _once(told: Results) -> queue.Queue[Any]:
    heard: queue.Queue[Any] = queue.Queue()
    heard.put(told)
    return heard


class Visits:
    """The devices that opened the page, and what came of them."""

    def __init__(self, done: Callable[[str], None], say: Say, *, several: bool) -> None:
        self._done, self._say, self._several = done, say, several
        self._active: dict[str, Device] = {}
        self._started: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._finished: dict[str, Device] = {}
        self._shown = ""  # whose progress is
        self._halves: dict[str, Results] = {}
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
                    self._see(alive)
        except KeyboardInterrupt:
            for told in list(self._halves.values()):
                self._fail(told.device, "it was ended")
            if not self._found:
                raise
        if not self._found:
            raise TargetError(next(iter(self._failures), "no file was measured in the browser"))
        return self._found

    def _see(self, alive: Callable[[], None]) -> None:
        """Whether the browser is there still; one that has ended counts with what it posted before its GPU.

        Raises:
            TargetError: it has ended, and posted nothing.
        """
        try:
            alive()
        except TargetError as failure:
            if not self._halves:
                raise
            for told in list(self._halves.values()):
                self._fail(told.device, str(failure))

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
        elif isinstance(told, Results) and not told.whole:
            self._halves[device.key] = told
        elif isinstance(told, Results):
            self._end(told)
        elif told.variant and device.key == self._shown:
            self._done(told.variant)

    def _end(self, told: Results) -> None:
        device = told.device
        self._close(device)
        if self._several:
            self._say(f"{device.title} is done")
        for variant, why in told.refused.items():
            self._say(f"{variant} does not run in {device.title}: {why}")
        if not told.measurements:
            self._failures.append(f"{device.title} measured nothing: no file runs there")
        self._found += self._apart(told)

    def _fail(self, device: Device, why: str) -> None:
        """A device that went no further; what it posted before it tried its GPU counts."""
        if told := self._halves.get(device.key):
            self._say(f"WebGPU has no rows of {device.title}: {why}")
            self._end(told)
            return
        self._close(device)
        self._failures.append(f"{device.title} did not measure: {why}")
        self._say(self._failures[-1])

    def _close(self, device: Device) -> None:
        self._active.pop(device.key, None)
        self._halves.pop(device.key, None)
        self._finished[device.key] = device

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
