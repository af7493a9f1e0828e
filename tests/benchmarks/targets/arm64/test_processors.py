"""What the emulated processors say they are: interpreters choose kernels by it, and crash if it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.benchmarks.targets.arm64.processors import PROCESSORS, Processor, cpuinfo, write_root

A53, A76 = PROCESSORS


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda p: p.name)
def test_cpuinfo_describes_each_core_as_an_arm64_kernel_does(processor: Processor) -> None:
    cores = cpuinfo(processor).strip().split("\n\n")
    assert len(cores) == 2
    for number, core in enumerate(cores):
        entries = {k.strip(): v.strip() for k, v in (line.split(":") for line in core.splitlines())}
        assert entries["processor"] == str(number)
        assert entries["CPU implementer"] == "0x41"
        assert entries["CPU architecture"] == "8"
        assert int(entries["CPU part"], 16) == processor.part
        assert {"fp", "asimd"} <= set(entries["Features"].split())


def test_a76_has_dot_products_and_half_floats_and_a53_has_not() -> None:
    newer = {"asimddp", "asimdhp", "atomics"}
    assert newer <= set(A76.features.split())
    assert not newer & set(A53.features.split())
    assert (A53.part, A76.part) == (0xD03, 0xD0B)


def test_processors_are_none_of_them_max_which_computes_wrongly_in_qemu_7() -> None:
    assert [p.model for p in PROCESSORS] == ["cortex-a53", "cortex-a76"]


def test_write_root_says_as_many_cores_in_sys_as_in_proc(tmp_path: Path) -> None:
    write_root(tmp_path, A76)
    assert (tmp_path / "proc/cpuinfo").read_text() == cpuinfo(A76)
    for name in ("possible", "present", "online"):
        assert (tmp_path / "sys/devices/system/cpu" / name).read_text() == "0-1\n"
