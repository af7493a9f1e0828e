"""The processors that are emulated, and what Linux would say of them.

LiteRT and onnxruntime choose their kernels by /proc/cpuinfo, and QEMU's user mode shows them the host's: they
then run instructions the emulated processor has not, or end with a segmentation fault. So each processor
brings a /proc and /sys of its own, with its real part number (Arm's technical reference manuals, MIDR_EL1).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_CORES = 2  # a fixed number, so that the host's does not show


@dataclass(frozen=True, kw_only=True)
class Processor:
    """`name` is what counts are called by, `model` what QEMU's `-cpu` takes."""

    name: str
    model: str
    title: str
    part: int
    features: str


_A53 = "fp asimd evtstrm crc32 cpuid"
_A76 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
PROCESSORS = (
    Processor(name="a53", model="cortex-a53", title="Arm Cortex-A53", part=0xD03, features=_A53),
    Processor(name="a76", model="cortex-a76", title="Arm Cortex-A76", part=0xD0B, features=_A76),
)
_CPUINFO = """\
processor\t: {core}
BogoMIPS\t: 50.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: {part:#x}
CPU revision\t: 4

"""


def cpuinfo(processor: Processor) -> str:
    """The text of /proc/cpuinfo as an arm64 Linux kernel writes it."""
    return "".join(_CPUINFO.format(core=core, **vars(processor)) for core in range(_CORES))


def write_root(root: Path, processor: Processor) -> None:
    """Put into `root` the files under /proc and /sys that say which processor there is."""
    system = root / "sys/devices/system/cpu"
    system.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (system / name).write_text(f"0-{_CORES - 1}\n")
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(cpuinfo(processor))
