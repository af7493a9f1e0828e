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


PROCESSORS = (
    Processor(
        name="a53",
        model="cortex-a53",
        title="Arm Cortex-A53",
        part=0xD03,
        features="fp asimd evtstrm crc32 cpuid",
    ),
    Processor(
        name="a76",
        model="cortex-a76",
        title="Arm Cortex-A76",
        part=0xD0B,
        features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
        "asimddp",
    ),
)


def cpuinfo(processor: Processor) -> str:
    """The text of /proc/cpuinfo as an arm64 Linux kernel writes it."""
    lines = []
    for core in range(_CORES):
        lines += [
            f"processor\t: {core}",
            "BogoMIPS\t: 50.00",
            f"Features\t: {processor.features}",
            "CPU implementer\t: 0x41",
            "CPU architecture: 8",
            "CPU variant\t: 0x0",
            f"CPU part\t: {processor.part:#x}",
            "CPU revision\t: 4",
            "",
        ]
    return "\n".join(lines) + "\n"


def write_root(root: Path, processor: Processor) -> None:
    """Put into `root` the files under /proc and /sys that say which processor there is."""
    system = root / "sys/devices/system/cpu"
    system.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (system / name).write_text(f"0-{_CORES - 1}\n")
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(cpuinfo(processor))
