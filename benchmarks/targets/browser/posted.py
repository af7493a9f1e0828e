"""What a device posted, read with suspicion: who it is, its answers to the golden images, its samples.

It knows the token, and that is all that is known of it. Names are texts of some length, numbers are finite
and in range, variants are those that were asked; verdicts are made here, not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewright.benchmarks.record import stats
from edgewright.benchmarks.record.measurement import Check, Measurement
from edgewright.benchmarks.record.record import measurement_of
from edgewright.benchmarks.targets.browser.work import MOST_SAMPLES, Work
from edgewright.runtime.disk import jsonio
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import TargetError

if TYPE_CHECKING:
    from edgewright.runtime.bundle.manifest import VariantEntry

STAGES = ("import", "load", "first_run", "warm_up", "warm_run")
ENGINES = {"tflite": ("LiteRT.js", "litert.js-wasm"), "onnx": ("onnxruntime-web", "onnxruntime-web-wasm")}
_MOST_TEXT = 200
_MOST_THREADS = 1024
_MOST_SCORE = 1e30
_SLOWER = 1.05  # times float32: less is not worth a line
_WINDOW, _TOLERANCE = 16, 0.02  # of `stats.steady_from`, as on this machine


@dataclass(frozen=True, kw_only=True)
class Device:
    """Whose browser it is: `key` tells its posts from those of others, `name` is what people read."""

    key: str
    name: str
    browser: str
    system: str
    user_agent: str
    cores: int
    isolated: bool
    secure: bool
    clock_step_ns: int
    mobile: bool

    @property
    def title(self) -> str:
        return f"{self.name} ({self.browser})"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a device is; `variant` is one that a process has just been done with, or empty."""

    device: Device
    variant: str


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a device found; `refused` is why a variant was not measured there, by its name."""

    device: Device
    measurements: list[Measurement]
    refused: Mapping[str, str]


def progress(raw: bytes, work: Work) -> Progress:
    """Raises `TargetError`."""
    obj = jsonio.parse(raw, "what a browser posted", TargetError)
    variant = obj.text("variant")
    if variant and variant not in work.expected:
        raise obj.fail("variant", "one that was asked for")
    return Progress(device=_device(obj.object("device")), variant=variant)


def failed(raw: bytes) -> tuple[Device, str]:
    """Which device could not go on, and why. Raises `TargetError`."""
    obj = jsonio.parse(raw, "what a browser posted", TargetError)
    return _device(obj.object("device")), _text(obj, "reason")


def results(
    raw: bytes, work: Work, environment: Mapping[str, Any], versions: Mapping[str, str], here: bool
) -> Results:
    """The measurements that a device posted.

    Args:
        raw: what it posted.
        work: what was asked of it.
        environment: of this machine.
        versions: of the engines' packages.
        here: whether it came from this machine.

    Raises:
        TargetError: anything in it is not as it should be.
    """
    obj = jsonio.parse(raw, "what a browser posted", TargetError)
    device = _device(obj.object("device"))
    surroundings = _environment(device, environment, versions, here and not device.mobile)
    entries = {entry.name: entry for entry in work.variants}
    refused = {}
    checks: dict[str, tuple[Check, str]] = {}
    for told in _objects(obj, "checks", len(entries)):
        name = told.choice("variant", tuple(entries))
        if told.has("refused"):
            refused[name] = _text(told, "refused")
        else:
            checks[name] = _check(told, entries[name], work)
    counts = {plan.threads: plan.processes for plan in work.plans}
    most = len(entries) * sum(counts.values())
    found: dict[tuple[str, int], list[Measurement]] = {}
    for told in _objects(obj, "measurements", most):
        name, threads = told.choice("variant", tuple(checks)), told.integer("threads", 1, _MOST_THREADS)
        group = found.setdefault((name, threads), [])
        if len(group) >= counts.get(threads, 0):
            raise told.fail("threads", "a number that was asked for, and not more processes of it")
        group.append(_measurement(told, entries[name], threads, checks[name], surroundings))
    slow = _slower(found, entries)
    measurements = []
    for key, group in found.items():
        group[0].notes.extend(slow.get(key, ()))
        measurements += group
    return Results(device=device, measurements=measurements, refused=refused)


def _measurement(
    obj: JsonObject,
    entry: VariantEntry,
    threads: int,
    checked: tuple[Check, str],
    surroundings: Mapping[str, Any],
) -> Measurement:
    samples = obj.object("samples_ns")
    if sorted(samples.data) != sorted(STAGES):
        raise obj.fail("samples_ns", f"samples of {', '.join(STAGES)}")
    for stage in STAGES:
        if not 1 <= len(samples.array(stage)) <= MOST_SAMPLES:
            raise samples.fail(stage, f"1 to {MOST_SAMPLES} samples")
    calls, queries = obj.integer("calls_per_sample", 1, 10**9), obj.integer("queries", 1, 10**12)
    check, reason = checked
    made = {
        "variant": entry.name,
        "target": "browser",
        "threads": threads,
        "kernels": ENGINES[_format(entry)][1],
        "samples_ns": samples.data,
        "peak_rss_bytes": 0,
        "base_rss_bytes": 0,
        "environment": surroundings,
        "calls_per_sample": calls,
        "queries": queries,
        "check": vars(check),
    }
    measured = measurement_of(JsonObject(made, obj.where, TargetError))
    if reason:
        measured.notes.append(reason)
    if calls > 1:
        measured.notes.append(
            f"runs are timed in blocks, as a browser's clock is coarse: a sample is the mean of {calls} "
            "runs, and p90 and p99 are those of such means"
        )
    runs = measured.samples_ns["warm_run"]
    if len(runs) >= _WINDOW and stats.steady_from(runs, _WINDOW, _TOLERANCE) is None:
        measured.notes.append("runs did not become steady: their level moved to the end")
    return measured


def _check(obj: JsonObject, entry: VariantEntry, work: Work) -> tuple[Check, str]:
    """How the device's scores stand to the recorded ones, and a note where they are others."""
    import numpy as np

    from edgewright.runtime.contract.heads import Head
    from edgewright.runtime.verification import judge

    expected = work.expected[entry.name]
    values = obj.array("scores")
    if len(values) != expected.size or not all(
        type(v) in (int, float) and abs(v) < _MOST_SCORE for v in values
    ):
        raise obj.fail("scores", f"{expected.size} finite numbers")
    scores = np.asarray(values, np.float64).astype(np.float32)
    scores = scores.reshape(expected.shape)
    manifest = work.bundle.manifest
    head = Head(kind=manifest.head, count=manifest.scores, threshold=manifest.threshold)
    verdict = judge(entry, ENGINES[_format(entry)][1], scores, expected, head)
    alike = 1.0
    if not head.is_embedding:
        same = head.decisions(scores) == head.decisions(expected)
        alike = float(np.mean(same.reshape(len(same), -1).all(axis=1)))
    right = not verdict.reason and verdict.max_abs_error <= entry.tolerance.max_abs
    check = Check(
        images=len(scores),
        max_abs_error=verdict.max_abs_error,
        agreement=alike,
        verdict="wrong" if verdict.reason else "right" if right else "differs",
    )
    reason = (
        verdict.reason and f"{entry.name} does not give what was recorded in this browser: {verdict.reason}"
    )
    return check, reason


def _slower(
    found: Mapping[tuple[str, int], Sequence[Measurement]], entries: Mapping[str, VariantEntry]
) -> dict[tuple[str, int], list[str]]:
    """A note for each smaller file that is slower than its format's float32 one, for sure."""
    notes: dict[tuple[str, int], list[str]] = {}
    for (name, threads), group in found.items():
        plain = found.get((f"{_format(entries[name])}-float32", threads), ())
        pairs = [
            (m.samples_ns["warm_run"], p.samples_ns["warm_run"]) for m, p in zip(group, plain, strict=False)
        ]
        ratios = [
            a / b
            for (a,), (b,) in ((stats.each([x], 50), stats.each([y], 50)) for x, y in pairs)
            if b > 0 < a
        ]
        if entries[name].scheme != "float32" and len(ratios) >= 6:
            ratio = stats.paired_ratio(ratios)
            if ratio.low > 1 and ratio.value > _SLOWER:
                notes[name, threads] = [
                    f"slower than float32 in this browser: {ratio.value:.2f} times its time "
                    f"({ratio.low:.2f} to {ratio.high:.2f})"
                ]
    return notes


def _device(obj: JsonObject) -> Device:
    key = _text(obj, "key")
    if not (8 <= len(key) <= 64 and key.isascii() and key.isalnum()):
        raise obj.fail("key", "8 to 64 letters and digits")
    return Device(
        key=key,
        name=_text(obj, "name") or "unknown",
        browser=_text(obj, "browser") or "unknown",
        system=_text(obj, "system") or "unknown",
        user_agent=_text(obj, "user_agent"),
        cores=obj.integer("cores", 0, _MOST_THREADS),
        clock_step_ns=obj.integer("clock_step_ns", 0, 10**12),
        isolated=obj.flag("isolated"),
        secure=obj.flag("secure"),
        mobile=obj.flag("mobile"),
    )


def _environment(
    device: Device, environment: Mapping[str, Any], versions: Mapping[str, str], here: bool
) -> dict[str, Any]:
    """That of this machine, with the browser; of another device what its browser tells."""
    shared = {
        "browser": device.browser,
        "user_agent": device.user_agent,
        "secure_context": device.secure,
        "cross_origin_isolated": device.isolated,
        "clock_step_ns": device.clock_step_ns,
    }
    told = environment.get("versions")
    ours = dict(told) if isinstance(told, Mapping) else {}
    if here:
        return {**environment, **shared, "versions": {**ours, **versions}}
    return {
        "cpu": device.title,
        "machine": "browser",
        "isa": [],
        "cores": device.cores or None,
        "cores_allowed": device.cores or None,
        "governor": None,
        "virtual_machine": None,
        "load_1min": None,
        "system": device.system,
        "versions": {"edgewright": ours.get("edgewright"), **versions},
        **shared,
    }


def _text(obj: JsonObject, key: str) -> str:
    """One line of it, of no more than `_MOST_TEXT` characters."""
    text = obj.text(key)
    if len(text) > 2**16:
        raise obj.fail(key, f"at most {_MOST_TEXT} characters")
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))[:_MOST_TEXT]


def _objects(obj: JsonObject, key: str, most: int) -> list[JsonObject]:
    if len(obj.array(key)) > most:
        raise obj.fail(key, f"at most {most}")
    return obj.objects(key)


def _format(entry: VariantEntry) -> str:
    return entry.file.file.rpartition(".")[2]
