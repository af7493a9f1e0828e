"""Measurements that nobody took: for what is derived from them, and for commands without their time. An
emulated machine that is set up once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks import targets
from edgewright.benchmarks.record import measurement
from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.record.record import Model, Record
from edgewright.benchmarks.targets import Option, Say
from edgewright.benchmarks.targets.arm64 import machine
from edgewright.benchmarks.targets.arm64.machine import Machine
from edgewright.runtime.bundle.manifest import Bundle

MACHINE = {
    "cpu": "A CPU",
    "machine": "x86_64",
    "isa": ["avx2"],
    "cores": 2,
    "cores_allowed": 2,
    "load_1min": 0.5,
    "virtual_machine": True,
    "versions": {"edgewright": "0.1.0", "numpy": "2"},
}


def timed(
    variant: str = "tflite-int8",
    middle_ns: float = 10_000,
    processes: int = 6,
    threads: int = 1,
    notes: Sequence[str] = (),
    seed: int = 0,
) -> list[Measurement]:
    """Six processes that differ by 1 %, each with 200 runs that differ by 2 %."""
    random = np.random.default_rng(seed)
    found = []
    for level in middle_ns * random.normal(1, 0.01, processes):

        def taken(factor: float, count: int, level: float = level) -> list[int]:
            return [round(x) for x in level * factor * random.normal(1, 0.02, count)]

        found.append(
            Measurement(
                variant=variant,
                target="local",
                threads=threads,
                kernels="xnnpack",
                samples_ns={
                    **{stage: taken(100, 1) for stage in ("import", "load", "first_run")},
                    "warm_up": taken(2, 50),
                    "warm_run": taken(1, 200),
                    "jpeg_to_label": taken(10, 30),
                    "png_to_label": taken(20, 30),
                    **{part: taken(2, 16) for part in ("decode", "preprocess", "invoke", "postprocess")},
                },
                peak_rss_bytes=50 * 2**20,
                base_rss_bytes=40 * 2**20,
                environment=MACHINE,
                counts={"inferences_per_second": [1000.0]},
                notes=list(notes),
                queries=200,
            )
        )
    return found


def counted(variant: str = "tflite-int8", instructions: float = 458_292) -> list[Measurement]:
    """What an emulator gives: no time, the same count for each of 16 images."""
    return [
        Measurement(
            variant=variant,
            target="arm64",
            threads=1,
            kernels="xnnpack",
            samples_ns={},
            peak_rss_bytes=0,
            base_rss_bytes=0,
            environment=MACHINE,
            counts={"a76_instructions": [instructions] * 16, "a76_golden_max_abs_error": [0.0]},
        )
    ]


def record(measurements: Sequence[Measurement], **environment: object) -> Record:
    return Record(
        bundle="fashion-mlp",
        environment=MACHINE | environment,
        measurements=measurements,
        models={
            m.variant: Model(
                bytes=214_306, macs=203_264, arithmetic="int8" if m.variant.endswith("int8") else "float32"
            )
            for m in measurements
        },
        peaks={1: {"float32": 100e9, "int8": 400e9}},
    )


class Target(targets.Target):
    """A target whose measurements are `middle_ns` long."""

    title = summary = "made up"
    repeats = True
    options: tuple[Option, ...] = ()

    def __init__(self, middle_ns: float) -> None:
        self.middle_ns, self._turn = middle_ns, 0

    def missing(self) -> str:
        return ""

    def check(self, bundle: Bundle, variant: str, plan: Plan) -> None:
        pass

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        self._turn += 1
        return timed(variant, self.middle_ns, 1, plan.threads, seed=self._turn)[0]


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """`timed`, `counted`, `record`, `Target`, `MACHINE`."""
    return SimpleNamespace(timed=timed, counted=counted, record=record, Target=Target, MACHINE=MACHINE)


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are measured by two processes each, for tests of what is around them."""
    monkeypatch.setattr(measurement, "PROCESSES", 2)


@pytest.fixture(scope="session")
def machine_cache(made_once: Callable[..., Any]) -> Path:
    """A cache folder with the arm64 machine in it."""
    if lacking := machine.missing():
        pytest.skip(f"target arm64 needs {lacking}")

    def make(folder: Path) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EDGEWRIGHT_CACHE", str(folder))
            machine.ready()
        return folder

    found: Path = made_once("machine-cache", make)
    return found


@pytest.fixture
def emulated(machine_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(machine_cache))
    return machine.ready()
