"""What a phone and benchmark_model print, read with suspicion: texts of some length, numbers in range.

benchmark_model is a family: TFLite's and LiteRT's own log what a run took in the same words, as both are
built on one class (https://github.com/google-ai-edge/LiteRT/blob/main/tflite/tools/benchmark/benchmark_model.cc).
It prints no single runs but their count, mean and percentiles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgewright.benchmarks.record.measurement import MOST_THREADS
from edgewright.runtime.errors import TargetError
from edgewright.runtime.machine import processor

_MOST_TEXT = 200
_MOST_US = 1e10  # of a run: three hours
_MOST_RUNS = 10**9
_MARK = "edgewright"
_PROPERTIES = {
    "maker": "ro.product.manufacturer",
    "model": "ro.product.model",
    "soc": "ro.soc.model",
    "abi": "ro.product.cpu.abi",
    "android": "ro.build.version.release",
}
# Lines of a name, a colon and a value; what a phone does not have is empty.
ASKED = "; ".join(
    (
        *(f'echo "{_MARK} {name}:$(getprop {key} 2>/dev/null)"' for name, key in _PROPERTIES.items()),
        f'echo "{_MARK} cores:$(nproc 2>/dev/null)"',
        f"echo \"{_MARK} flags:$(grep -m1 -i -E '^(features|flags)' /proc/cpuinfo 2>/dev/null)\"",
        f'echo "{_MARK} system:$(uname -sr 2>/dev/null)"',
    )
)
# Heat in thousandths of a degree where the shell's user may read it.
HEAT = "cat /sys/class/thermal/thermal_zone*/temp 2>/dev/null"
_START = re.compile(r"Initialized session in ([\d.e+-]{1,30})\s?ms", re.MULTILINE)
_RUNS = re.compile(r"^(?:.*[:\]]\s*)?(count=\d+\s.*)$", re.MULTILINE)
_FIELD = re.compile(r"(\w{1,20})=([^\s(]{1,30})")
_FOOTPRINT = re.compile(
    r"Memory footprint delta from the start of the tool \(MB\):.* overall=([\d.e+]{1,30})"
)
_NOT_WHOLLY = re.compile(r"will (?:not be|be partially) executed by the delegate")


@dataclass(frozen=True, kw_only=True)
class About:
    """What a phone is; `title` is what people read. Texts are empty where it does not say them."""

    title: str
    abi: str
    soc: str
    android: str
    system: str
    cores: int | None
    isa: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What benchmark_model told: microseconds, `runs` warm ones. `tails_us` are percentiles of single runs by
    name, where the tool is new enough; `footprint_mb` is 0 where it is not told."""

    load_us: float
    first_us: float
    warm_up_us: float
    mean_us: float
    runs: int
    tails_us: Mapping[str, float]
    footprint_mb: float


def plain(text: str, most: int = _MOST_TEXT) -> str:
    """One line of it, fit for a terminal."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))[:most]


def about(said: str, serial: str) -> About:
    """Read what a phone printed when it was `ASKED`. Raises `TargetError`."""
    told: dict[str, str] = {}
    for line in said.splitlines():
        mark, _, rest = line.partition(" ")
        name, colon, value = rest.partition(":")
        if mark == _MARK and colon:
            told.setdefault(name, plain(value, 4000))
    abi = told.get("abi", "")
    if not re.fullmatch(r"[a-z0-9_-]{2,30}", abi):
        raise TargetError(
            f"expected {serial} to say its processor (getprop ro.product.cpu.abi), got "
            f"{plain(abi) or 'nothing'}; is it Android?"
        )
    cores = told.get("cores", "")
    known = cores.isascii() and cores.isdecimal() and len(cores) < 5 and 1 <= int(cores) <= MOST_THREADS
    flags = set(told.get("flags", "").replace(":", " ").split())
    title = plain(f"{told.get('maker', '')} {told.get('model', '')}".strip()) or serial
    return About(
        title=title,
        abi=abi,
        soc=plain(told.get("soc", "")),
        android=plain(told.get("android", ""), 40),
        system=plain(told.get("system", "")),
        cores=int(cores) if known else None,
        isa=tuple(flag for flag in processor.ISA if flag in flags),
    )


def ran(said: str, doing: str) -> Ran:
    """Read what benchmark_model printed of a run that ended well. Raises `TargetError`."""
    start = _START.search(said)
    lines = [dict(_FIELD.findall(line)) for line in _RUNS.findall(said)]
    if start is None or len(lines) < 2:
        raise TargetError(f"{doing}: expected what benchmark_model prints of its runs, got: {last(said)}")
    warm_up, warm = lines[0], lines[-1]
    mean = _number(warm.get("avg", warm.get("curr")), doing)
    footprint = _FOOTPRINT.search(said)
    tails = {name: warm[name] for name in ("p5", "median", "p95") if name in warm}
    return Ran(
        load_us=_number(start[1], doing) * 1000,
        first_us=_number(warm_up.get("first", warm_up.get("curr")), doing),
        warm_up_us=_number(warm_up.get("avg", warm_up.get("curr")), doing),
        mean_us=mean,
        runs=round(_number(warm.get("count"), doing, _MOST_RUNS)),
        tails_us={name: _number(value, doing) for name, value in tails.items()},
        footprint_mb=_number(footprint[1], doing, 1e6) if footprint else 0.0,
    )


def not_wholly(said: str) -> bool:
    """Whether a delegate left operators to the CPU."""
    return _NOT_WHOLLY.search(said) is not None


def last(said: str) -> str:
    """The last line that complains, else the last one."""
    lines = [plain(line) for line in said.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "ERROR" in line), lines[-1] if lines else "nothing")


def celsius(said: str) -> list[float]:
    """The hottest of the sensors, if there is one that makes sense."""
    found = [int(word) / 1000 for word in said.split()[:200] if word.isdecimal() and len(word) < 7]
    return [max(found)] if (found := [each for each in found if 0 < each < 150]) else []


def environment(phone: About, serial: str, here: Mapping[str, Any]) -> dict[str, Any]:
    """The phone's circumstances, in the words of those of this machine, `here`."""
    versions = here.get("versions")
    ours = versions.get("edgewright") if isinstance(versions, Mapping) else None
    return {
        "cpu": phone.title if not phone.soc else f"{phone.title} ({phone.soc})",
        "machine": phone.abi,
        "isa": list(phone.isa),
        "cores": phone.cores,
        "cores_allowed": phone.cores,
        "governor": None,
        "virtual_machine": None,
        "load_1min": None,
        "system": " ".join(filter(None, (f"Android {phone.android}" * bool(phone.android), phone.system))),
        "versions": {"edgewright": ours},
        "serial": serial,
    }


def _number(text: str | None, doing: str, most: float = _MOST_US) -> float:
    """Raises `TargetError`: not a number above 0, and below `most`."""
    try:
        value = float(text or "")
    except ValueError:
        value = -1.0
    if not 0 < value < most:
        raise TargetError(
            f"{doing}: expected a number from 0 to {most:g}, got {plain(text or 'nothing', 40)}"
        )
    return value
