"""What a device posted, read with suspicion: who it is, its answers to the golden images, its samples.

It knows the token, and that is all that is known of it. Names are texts of some length, numbers are finite
and in range, variants are those that were asked; verdicts are made here, not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from edgewright.benchmarks.record import stats
from edgewright.benchmarks.record.measurement import Measurement
from edgewright.benchmarks.record.record import measurement_of
from edgewright.benchmarks.targets.browser.answers import Answered, beside, recorded, text
from edgewright.benchmarks.targets.browser.work import MOST_SAMPLES, Work
from edgewright.runtime.disk import jsonio
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import TargetError

if TYPE_CHECKING:
    from edgewright.benchmarks.record.stats import Estimate
    from edgewright.runtime.bundle.manifest import VariantEntry

STAGES = ("import", "load", "first_run", "warm_up", "warm_run")
ENGINES = {"tflite": "litert.js", "onnx": "onnxruntime-web"}
WASM, WEBGPU = "wasm", "webgpu"
TARGETS = {WASM: "browser", WEBGPU: "browser-webgpu"}  # rows of their own
_MOST = 1024  # threads, cores
_SLOWER = 1.05  # times float32: less is not worth a line
_FRAMES = 6
_WINDOW, _TOLERANCE = 16, 0.02  # of `stats.steady_from`, as on this machine


@dataclass(frozen=True, kw_only=True)
class Device:
    """Whose browser it is: `key` tells its posts from those of others, `name` is what people read; `gpu` is
    what WebGPU runs on, empty without one."""

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
    gpu: str = ""
    gpu_software: bool = False

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
    """What a device found; `refused` is why a variant was not measured there, by what it is called. What is
    not `whole` comes from a device that is about to try its GPU, and counts if that ends it."""

    device: Device
    measurements: list[Measurement]
    refused: Mapping[str, str]
    whole: bool = True


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
    return _device(obj.object("device")), text(obj, "reason")


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
    refused, checks = _checks(obj, device, entries, work)
    counts = {(WASM, plan.threads): plan.processes for plan in work.plans}
    if not device.gpu_software:
        counts[WEBGPU, 1] = work.plans[0].processes
    found: dict[_Key, list[Measurement]] = {}
    for told in _objects(obj, "measurements", len(entries) * sum(counts.values())):
        accelerator, threads = told.choice("accelerator", (WASM, WEBGPU)), told.integer("threads", 1, _MOST)
        name = told.choice("variant", tuple(name for name, on in checks if on == accelerator))
        group = found.setdefault((name, accelerator, threads), [])
        if len(group) >= counts.get((accelerator, threads), 0):
            raise told.fail("threads", "a number that was asked for, and not more processes of it")
        group.append(_measurement(told, entries[name], (name, accelerator, threads), checks, surroundings))
    for (name, accelerator), checked in checks.items():
        if accelerator == WEBGPU and (name, WEBGPU, 1) not in found:  # answers alone
            found[name, WEBGPU, 1] = [_untimed(entries[name], checked, device, surroundings)]
    slow = _slower(found, entries)
    measurements = []
    for key, group in found.items():
        group[0].notes.extend(slow.get(key, ()))
        measurements += group
    return Results(device=device, measurements=measurements, refused=refused, whole=obj.flag("whole"))


_Key: TypeAlias = tuple[str, str, int]  # variant, accelerator, threads
_Checks: TypeAlias = dict[tuple[str, str], Answered]  # by variant and accelerator


def _checks(
    obj: JsonObject, device: Device, entries: Mapping[str, VariantEntry], work: Work
) -> tuple[dict[str, str], _Checks]:
    """Why files did not run, and how the answers of the others are."""
    refused: dict[str, str] = {}
    checks: _Checks = {}
    for told in _objects(obj, "checks", 2 * len(entries)):
        name, accelerator = told.choice("variant", tuple(entries)), told.choice("accelerator", (WASM, WEBGPU))
        if accelerator == WEBGPU and not device.gpu:
            raise told.fail("accelerator", "one of a device that tells its GPU")
        if accelerator == WEBGPU and not told.has("refused"):
            checks[name, accelerator] = beside(told, entries[name], work)
        elif told.has("refused") or told.has("died"):
            why = text(told, "refused" if told.has("refused") else "died")
            refused[name if accelerator == WASM else f"{name} (WebGPU)"] = why
        else:
            checks[name, accelerator] = recorded(told, entries[name], work, _kernels(entries[name], WASM))
    return refused, checks


def _measurement(
    obj: JsonObject, entry: VariantEntry, key: _Key, checks: _Checks, surroundings: Mapping[str, Any]
) -> Measurement:
    samples = obj.object("samples_ns")
    if sorted(samples.data) != sorted(STAGES):
        raise obj.fail("samples_ns", f"samples of {', '.join(STAGES)}")
    for stage in STAGES:
        if not 1 <= len(samples.array(stage)) <= MOST_SAMPLES:
            raise samples.fail(stage, f"1 to {MOST_SAMPLES} samples")
    calls, queries = obj.integer("calls_per_sample", 1, 10**9), obj.integer("queries", 1, 10**12)
    name, accelerator, threads = key
    check, notes = checks[name, accelerator]
    made = {
        "variant": name,
        "target": TARGETS[accelerator],
        "threads": threads,
        "kernels": _kernels(entry, accelerator),
        "samples_ns": samples.data,
        "peak_rss_bytes": 0,
        "base_rss_bytes": 0,
        "environment": surroundings,
        "calls_per_sample": calls,
        "queries": queries,
        "check": vars(check),
    }
    measured = measurement_of(JsonObject(made, obj.where, TargetError))
    measured.notes.extend(notes)
    if calls > 1:
        measured.notes.append(
            f"runs are timed in blocks, as a browser's clock is coarse: a sample is the mean of {calls} "
            "runs, and p90 and p99 are those of such means"
        )
    runs = measured.samples_ns["warm_run"]
    if len(runs) >= _WINDOW and stats.steady_from(runs, _WINDOW, _TOLERANCE) is None:
        measured.notes.append("runs did not become steady: their level moved to the end")
    return measured


def _untimed(
    entry: VariantEntry, checked: Answered, device: Device, surroundings: Mapping[str, Any]
) -> Measurement:
    """What a GPU answered that is none, or that could not be timed."""
    check, notes = checked
    why = (
        "WebGPU ran in software" if device.gpu_software else "WebGPU was not timed"
    ) + f": {device.gpu}; its answers are checked, and no times taken"
    return Measurement(
        variant=entry.name,
        target=TARGETS[WEBGPU],
        threads=1,
        kernels=_kernels(entry, WEBGPU),
        environment=surroundings,
        notes=[*notes, why],
        check=check,
    )


def _slower(
    found: Mapping[_Key, Sequence[Measurement]], entries: Mapping[str, VariantEntry]
) -> dict[_Key, list[str]]:
    """A note for each smaller file that is slower than its format's float32 one, for sure."""
    notes: dict[_Key, list[str]] = {}
    for (name, accelerator, threads), group in found.items():
        plain = found.get((f"{_format(entries[name])}-float32", accelerator, threads), ())
        if entries[name].scheme == "float32" or len(plain) < _FRAMES:
            continue
        frames = [
            (p.samples_ns.get("warm_run", ()), m.samples_ns.get("warm_run", ()))
            for m, p in zip(group, plain, strict=False)
        ]
        ratio = ratio_of(frames)
        if ratio is not None and ratio.low > 1 and ratio.value > _SLOWER:
            where = " in this browser" if accelerator == WASM else " in this browser's WebGPU"
            notes[name, accelerator, threads] = [
                f"{entries[name].scheme} is slower than float32{where}: {ratio.value:.2f} times its time "
                f"({ratio.low:.2f} to {ratio.high:.2f})"
            ]
    return notes


def ratio_of(frames: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Estimate | None:
    """B's time divided by A's with its 95 % interval, from blocks of runs that stand side by side.

    A frame gives the median over its pairs of blocks, the frames Wilcoxon's interval (`stats.paired_ratio`),
    as `edgewright compare` has it of processes. None of fewer than six frames that tell anything: that is the
    fewest for 95 %.

    Args:
        frames: of each its blocks of A and of B, in nanoseconds, in the order they were taken.
    """
    import numpy as np

    ratios = []
    for a, b in frames:
        told = [y / x for x, y in zip(a, b, strict=False) if x > 0 < y]
        if told:
            ratios.append(float(np.exp(np.median(np.log(told)))))
    return stats.paired_ratio(ratios) if len(ratios) >= _FRAMES else None


def _device(obj: JsonObject) -> Device:
    key = text(obj, "key")
    if not (8 <= len(key) <= 64 and key.isascii() and key.isalnum()):
        raise obj.fail("key", "8 to 64 letters and digits")
    return Device(
        key=key,
        name=text(obj, "name") or "unknown",
        browser=text(obj, "browser") or "unknown",
        system=text(obj, "system") or "unknown",
        user_agent=text(obj, "user_agent"),
        cores=obj.integer("cores", 0, _MOST),
        clock_step_ns=obj.integer("clock_step_ns", 0, 10**12),
        isolated=obj.flag("isolated"),
        secure=obj.flag("secure"),
        mobile=obj.flag("mobile"),
        gpu=text(obj, "gpu"),
        gpu_software=obj.flag("gpu_software"),
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
        "gpu": device.gpu or None,
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


def _objects(obj: JsonObject, key: str, most: int) -> list[JsonObject]:
    if len(obj.array(key)) > most:
        raise obj.fail(key, f"at most {most}")
    return obj.objects(key)


def _kernels(entry: VariantEntry, accelerator: str) -> str:
    """What computes a file there."""
    return f"{ENGINES[_format(entry)]}-{accelerator}"


def _format(entry: VariantEntry) -> str:
    return entry.file.file.rpartition(".")[2]
