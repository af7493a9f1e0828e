"""What Arm's compiler for the Ethos-U NPUs expects of a file on them. Nothing runs."""

from __future__ import annotations

import csv
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.targets import Say, Target
from edgewright.runtime import plugins
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import InputError, MissingExtraError, TargetError
from edgewright.runtime.machine.child import call

_OPERATORS = re.compile(r"^(CPU|NPU) operators = (\d+)", re.MULTILINE)
_LEFT = re.compile(r"operator: (\w+), ofm: '(.*)'\nReason: (.*)")
_MEMORIES = {
    "sram": "sram_memory_used",
    "dram": "dram_memory_used",
    "flash": "off_chip_flash_memory_used",
    "on_chip_flash": "on_chip_flash_memory_used",
}


@dataclass(frozen=True, kw_only=True)
class Npu:
    """An NPU of so many MAC units, and the surroundings it is assumed in, named as in vela's `Arm/vela.ini`.

    Those are the ones that vela takes for it if it is told nothing.
    """

    name: str
    title: str
    system: str
    memory: str

    @property
    def accelerator(self) -> str:
        return self.title.lower()


_DEDICATED = "Dedicated_Sram_384KB"
NPUS = (
    Npu(name="u55_128", title="Ethos-U55-128", system="Ethos_U55_High_End_Embedded", memory="Shared_Sram"),
    Npu(name="u65_256", title="Ethos-U65-256", system="Ethos_U65_Client_Server", memory=_DEDICATED),
    Npu(name="u85_256", title="Ethos-U85-256", system="Ethos_U85_SYS_DRAM_Mid", memory=_DEDICATED),
)


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What vela says of a file on an NPU: `cycles` of the NPU for an image, its clock, the bytes used of each
    kind of memory, and how many operators, as vela splits them, run where. `left` is why the NPU does not
    take an operator, by the name of the tensor that it gives."""

    cycles: int
    clock_hz: float
    memory_bytes: Mapping[str, int]
    npu_operators: int
    cpu_operators: int
    left: Mapping[str, str] = field(default_factory=dict)


class EthosU(Target):
    """Counts, each with the NPU's name in front (`u55_128_cycles`):

    `cycles`: of the NPU for one image. `estimated_ms`: the same at the clock of the system configuration.
    `sram_bytes`, and `flash_bytes` or `dram_bytes`: memory used, weights included.
    `cpu_ops_share`: share of the operators that the NPU does not take, 0 to 1; their time is in no figure.
    """

    title = "what Arm's compiler expects of its NPUs"
    summary = (
        "Arm Ethos-U NPUs as vela estimates them for a stated clock and memory: nothing ran, no output was "
        "checked, and what stays on the CPU takes time that is not in it"
    )
    repeats = False

    def missing(self) -> str:
        installed = plugins.installed("ethosu")
        return "" if installed else "ethos-u-vela; run: pip install 'edgewright[ethos-u]'"

    def check(self, bundle: Bundle, variant: str, plan: Plan) -> None:
        if plan.threads != 1:
            raise InputError(f"expected 1 thread for target ethos-u, got {plan.threads}: it has no threads")
        _estimates(bundle, variant, NPUS[:1])

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        counts: dict[str, list[float]] = {}
        left, configurations, stated = [], {}, []
        for npu, prospect in _estimates(bundle, variant, NPUS).items():
            operators = prospect.cpu_operators + prospect.npu_operators
            figures = {
                "cycles": prospect.cycles,
                "estimated_ms": prospect.cycles / prospect.clock_hz * 1e3,
                **{f"{kind}_bytes": used for kind, used in prospect.memory_bytes.items() if used},
                "cpu_ops_share": prospect.cpu_operators / operators,
            }
            counts |= {f"{npu.name}_{name}": [float(value)] for name, value in figures.items()}
            if prospect.cpu_operators:
                left.append(f"{prospect.cpu_operators} of {operators} on {npu.title}")
            configurations[npu.name] = {
                "accelerator": npu.accelerator,
                "system_config": npu.system,
                "memory_mode": npu.memory,
                "clock_hz": prospect.clock_hz,
            }
            stated.append(f"{npu.title} at {prospect.clock_hz / 1e6:.0f} MHz ({npu.system}, {npu.memory})")
        version = metadata.version("ethos-u-vela")
        partly = f"{variant} leaves operators to the CPU, whose time is not in it: {', '.join(left)}"
        return Measurement(
            variant=variant,
            target="ethos-u",
            threads=1,
            kernels=f"vela {version}",
            environment={
                **environment.describe(),
                "cpu": f"{', '.join(stated)}, estimated by vela {version}",
                "machine": "ethos-u",
                "load_1min": None,
                "configurations": configurations,
            },
            counts=counts,
            notes=[partly] * bool(left),
        )


def _estimates(bundle: Bundle, variant: str, npus: tuple[Npu, ...]) -> dict[Npu, Prospect]:
    entry = bundle.variant(variant)
    path = bundle.path(entry.file)
    if path.suffix != ".tflite":
        raise InputError(f"expected an integer .tflite for target ethos-u, got {path.name}; take tflite-int8")
    if not plugins.installed("ethosu"):
        raise MissingExtraError("ethos-u-vela, which estimates for Ethos-U NPUs,", "ethos-u")
    prospects = {npu: estimate(path, entry.file.sha256, npu) for npu in npus}
    for npu, prospect in prospects.items():
        if prospect.npu_operators == 0:
            raise InputError(
                f"expected an integer .tflite for target ethos-u, got {path.name}: {npu.title} computes in "
                "integers and takes none of its operators; take tflite-int8"
            )
    return prospects


@lru_cache
def estimate(path: Path, sha256: str, npu: Npu) -> Prospect:
    """Compile a .tflite for an NPU with vela, in another process, and read what it expects.

    Args:
        path: the file.
        sha256: its hash; the same file is compiled once.
        npu: which, and in what surroundings.

    Raises:
        InputError: vela cannot compile it.
        TargetError: vela said something else than it is known to.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = [
            *("--config", "Arm/vela.ini", "--accelerator-config", npu.accelerator),
            *("--system-config", npu.system, "--memory-mode", npu.memory, "--output-dir", folder),
        ]
        done = call([sys.executable, "-P", "-m", "ethosu.vela", *words, str(path)])
        summaries = sorted(Path(folder).glob("*_summary_*.csv"))
        if done.returncode != 0 or not summaries:
            lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
            said = next((line.strip() for line in reversed(lines) if "rror" in line), "it crashed")
            raise InputError(f"vela cannot compile {path.name} for {npu.title}: {said}")
        return parse(summaries[0].read_text(encoding="utf-8"), done.stdout)


def parse(summary: str, said: str) -> Prospect:
    """Read vela's summary, a CSV of one row with memories in KiB, and what it printed.

    Raises:
        TargetError: they are not as known.
    """
    rows = list(csv.DictReader(summary.splitlines()))
    operators = {where: int(count) for where, count in _OPERATORS.findall(said)}
    try:
        (row,) = rows
        return Prospect(
            cycles=round(float(row["cycles_total"])),
            clock_hz=float(row["core_clock"]),
            memory_bytes={kind: round(float(row[column]) * 1024) for kind, column in _MEMORIES.items()},
            npu_operators=operators["NPU"],
            cpu_operators=operators["CPU"],
            left={name: " ".join(reason.split()) for _, name, reason in _LEFT.findall(said)},
        )
    except (ValueError, KeyError, TypeError) as failure:
        raise TargetError(
            f"expected vela's summary as of version 5, got something else ({failure}); "
            "run: pip install 'ethos-u-vela>=5,<6'"
        ) from failure


TARGET = EthosU()
