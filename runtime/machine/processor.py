"""What the processor can do that decides which kernels an interpreter picks."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

# As /proc/cpuinfo names them: x86 first, then Arm.
ISA = (
    *("sse4_2", "avx", "avx2", "fma", "f16c"),
    *("avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve"),
)


def processor() -> str:
    """Its name, as well as the system tells it."""
    entries = _cpuinfo()
    name = entries.get("model name") or entries.get("Hardware") or platform.processor()
    return f"{name or 'unknown'} ({platform.machine()})"


def isa() -> tuple[str, ...] | None:
    """Which of `ISA` the processor has; None where the system does not say."""
    flags = _flags()
    return tuple(flag for flag in ISA if flag in flags) if flags else None


def kind() -> str:
    """What decides which kernels an interpreter picks, as one line: machine, and what there is of `ISA`."""
    return " ".join((platform.machine(), *(isa() or ())))


def is_virtual() -> bool:
    """True where the processor says that a hypervisor lends it, as x86 ones do on Linux."""
    return "hypervisor" in _flags()


def _flags() -> frozenset[str]:
    entries = _cpuinfo()
    return frozenset((entries.get("flags") or entries.get("Features") or "").split())


def _cpuinfo() -> Mapping[str, str]:
    """The first processor's entries of /proc/cpuinfo, empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    entries = {}
    for line in text.splitlines():
        if not line.strip():
            break
        key, _, value = line.partition(":")
        entries[key.strip()] = value.strip()
    return entries
