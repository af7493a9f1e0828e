"""What a device told, read with suspicion: what it is, its measurements, its scores.

Names are texts of some length, numbers are finite and in range, a measurement is of what was asked for;
whether scores are right is judged here, not there.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewright.benchmarks.record.measurement import MOST_THREADS, Measurement, Plan
from edgewright.benchmarks.record.record import WAY, measurement_of
from edgewright.benchmarks.targets.ssh.line import OLDEST, plain
from edgewright.runtime.disk import jsonio
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import TargetError
from edgewright.runtime.machine import child, processor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_BYTES = jsonio.MAX_BYTES
_STAGES = frozenset({"import", "load", "first_run", "warm_up", "warm_run", *WAY})
_COUNTS = frozenset({"inferences_per_second"})
_MOST_SAMPLES = 10**6  # of a stage
_MOST_NOTES = 20
_MOST_LOOKS = 10**5  # at heat and clock
_GLIBC = "glibc 2."
# Bits of what a Raspberry Pi tells; 16 higher: that it has been so since it was started.
_THROTTLED = {0: "under-voltage", 1: "a limited clock", 2: "a slowed clock", 3: "heat"}


@dataclass(frozen=True, kw_only=True)
class Device:
    """What it is: `python` such as 3.11, `machine` as wheels name it, `glibc` the N of its 2.N; `model` and
    `boot` are empty where it does not say them."""

    python: str
    machine: str
    glibc: int
    model: str
    boot: str
    free_bytes: int


def device(obj: JsonObject, at: str) -> Device:
    """Read what the agent says of the device.

    Raises:
        TargetError: it makes no sense, or nothing can be measured there: the message says what is lacking.
    """
    system, libc, bits = (plain(obj.text("system")), plain(obj.text("libc")), obj.integer("bits", 8, 1024))
    python = plain(obj.text("python")).split(".")
    place, _, machine = plain(obj.text("platform")).partition("-")
    if system != "linux" or place != "linux":
        raise TargetError(
            f"expected Linux on {at}, got {system}: interpreters' wheels are looked for Linux only"
        )
    if bits != 64:
        raise TargetError(
            f"expected a 64-bit Python on {at}, got one of {bits} bits: interpreters have no wheels for it; "
            "install a 64-bit system"
        )
    if not libc.startswith(_GLIBC) or not libc[len(_GLIBC) :].isdecimal() or len(libc) > len(_GLIBC) + 3:
        raise TargetError(
            f"expected glibc on {at}, got {libc or 'another C library'}: interpreters have no wheels for it"
        )
    if not obj.flag("venv"):
        raise TargetError(
            f"expected Python's module venv on {at}, got none; on Debian: apt-get install python3"
        )
    if not all(part.isdecimal() and len(part) < 4 for part in python[:2]) or len(python) < 2:
        raise obj.fail("python", "a version")
    if (int(python[0]), int(python[1])) < OLDEST or not machine.replace("_", "").isalnum():
        raise obj.fail("python", f"{OLDEST[0]}.{OLDEST[1]} or newer on a known processor")
    return Device(
        python=".".join(python[:2]),
        machine=machine,
        glibc=int(libc[len(_GLIBC) :]),
        model=plain(obj.text("model")),
        boot=plain(obj.text("boot")),
        free_bytes=obj.integer("free"),
    )


def lacking(obj: JsonObject, asked: Sequence[str]) -> tuple[str, ...]:
    """Which of the files that were asked for are not there. Raises `TargetError`."""
    found = obj.texts("lacking")
    if len(found) > len(asked) or not set(found) <= set(asked):
        raise obj.fail("lacking", "some of the files that were asked for")
    return found


def output(obj: JsonObject, raw: bytes, doing: str, at: str) -> bytes:
    """What a program wrote that ended well. Raises `TargetError` of another, with its last line."""
    status = obj.integer("status", -1024, 1024)
    if status != 0:
        why = plain(obj.text("said")) or f"it ended with status {status}"
        raise TargetError(f"{doing} on {at} failed: {why}")
    if not raw:
        raise TargetError(f"{doing} on {at} failed: its results are larger than {MOST_BYTES} bytes, or none")
    return raw


def measurement(raw: bytes, watched: JsonObject, at: str, variant: str, plan: Plan) -> Measurement:
    """The measurement that was asked for, with what was seen of heat and clock meanwhile.

    Args:
        raw: what the program wrote.
        watched: what the agent saw.
        at: how the user has called the device.
        variant, plan: what was asked for.

    Raises:
        TargetError: anything in it is not as it should be.
    """
    where = f"what {at} measured"
    obj = jsonio.parse(raw, where, TargetError)
    samples, counted = obj.object("samples_ns"), obj.object("counts")
    if not samples.data.keys() <= _STAGES:
        raise obj.fail("samples_ns", "samples of known stages")
    if not counted.data.keys() <= _COUNTS:
        raise obj.fail("counts", "known counts")
    for group in (samples, counted):
        for name in group.data:
            if len(group.array(name)) > _MOST_SAMPLES:
                raise group.fail(name, f"at most {_MOST_SAMPLES} samples")
    if not samples.data.get("warm_run"):
        raise obj.fail("samples_ns", "samples of warm runs")
    if obj.text("variant") != variant or obj.integer("threads") != plan.threads:
        raise obj.fail("variant", f"{variant} with threads {plan.threads}")
    notes = obj.texts("notes")
    if len(notes) > _MOST_NOTES:
        raise obj.fail("notes", f"at most {_MOST_NOTES}")
    made = {
        **{key: obj.data.get(key) for key in ("samples_ns", "peak_rss_bytes", "base_rss_bytes", "counts")},
        **{key: obj.data.get(key) for key in ("calls_per_sample", "queries")},
        "variant": variant,
        "target": "ssh",
        "threads": plan.threads,
        "kernels": plain(obj.text("kernels")),
        "environment": environment(obj.object("environment")),
        "notes": [plain(note) for note in notes],
    }
    found = measurement_of(JsonObject(made, where, TargetError))
    heat, warned = _watched(watched)
    return dataclasses.replace(found, counts={**found.counts, **heat}, notes=[*found.notes, *warned])


def environment(obj: JsonObject) -> dict[str, Any]:
    """The device's own, as `measure.environment` describes one. Raises `TargetError`."""
    told, isa = obj.object("versions"), obj.texts("isa")
    if len(told.data) > 20 or len(isa) > len(processor.ISA):
        raise obj.fail("versions", "those of a few packages")

    def known(key: str) -> str | None:
        return plain(obj.text(key)) if obj.has(key) else None

    def cores(key: str) -> int | None:
        return obj.integer(key, 1, MOST_THREADS) if obj.has(key) else None

    return {
        "cpu": plain(obj.text("cpu")),
        "machine": plain(obj.text("machine")),
        "isa": [flag for flag in processor.ISA if flag in isa],
        "cores": cores("cores"),
        "cores_allowed": cores("cores_allowed"),
        "governor": known("governor"),
        "virtual_machine": obj.flag("virtual_machine") if obj.has("virtual_machine") else None,
        "load_1min": obj.number("load_1min") if obj.has("load_1min") else None,
        "system": known("system"),
        "python": known("python"),
        "versions": {
            plain(package): plain(told.text(package)) if told.has(package) else None for package in told.data
        },
    }


def scores(raw: bytes, at: str, images: int, classes: int) -> tuple[str, NDArray[np.float32]]:
    """The kernels that gave scores, and these, float32 `(images, classes)`. Raises `TargetError`."""
    import numpy as np

    try:
        message = child.receive(io.BytesIO(raw), images * classes * 4)
    except (ValueError, RecursionError):
        message = None
    where = f"the scores of {at}"
    if message is None:
        raise TargetError(f"expected scores of {images} images and {classes} classes from {at}, got others")
    obj = JsonObject(message[0], where, TargetError)
    if obj.integers("shape") != (images, classes) or len(message[1]) != images * classes * 4:
        raise obj.fail("shape", f"[{images}, {classes}]")
    found = np.frombuffer(message[1], "<f4").astype(np.float32).reshape(images, classes)
    if not np.isfinite(found).all():
        raise TargetError(f"expected finite numbers in {where}, got others")
    return plain(obj.text("kernels")), found


def _watched(obj: JsonObject) -> tuple[dict[str, list[float]], list[str]]:
    """Heat in degrees and the clock in MHz, by the names of counts, and what is to be said of them."""
    counts = {}
    for key, name, most in (("celsius", "cpu_celsius", 150.0), ("mhz", "cpu_mhz", 1e5)):
        values = obj.array(key)
        fine = all(type(v) in (int, float) and math.isfinite(v) and 0 <= v <= most for v in values)
        if len(values) > _MOST_LOOKS or not fine:
            raise obj.fail(key, f"numbers up to {most:g}")
        if values:
            counts[name] = [float(v) for v in values]
    flags = obj.integers("throttled")
    if len(flags) not in (0, 2) or not all(0 <= flag < 2**32 for flag in flags):
        raise obj.fail("throttled", "two words of 32 bits, or none")
    return counts, _held_back(*flags) if flags else []


def _held_back(before: int, after: int) -> list[str]:
    """A note of what kept a Raspberry Pi below its clock: now, or since the other word was read."""
    new = after & ~before
    causes = [name for bit, name in _THROTTLED.items() if after >> bit & 1 or new >> (bit + 16) & 1]
    return [f"the device held itself back (vcgencmd get_throttled): {', '.join(causes)}"] if causes else []


def named(told: Mapping[str, Any], what: Device, at: str, here: str) -> dict[str, Any]:
    """The environment under the device's name; this machine's own stays as it is.

    Args:
        told: the environment.
        what: the device.
        at: how the user has called it.
        here: what this machine says of its start, empty where it says none.
    """
    if here and what.boot == here:
        return dict(told)
    host = at.strip("/").rpartition("@")[2]
    cpu = told["cpu"] if what.model == "" else what.model
    return {**told, "cpu": f"{cpu} ({host})", "processor": told["cpu"]}
