"""The plugin counts exactly: a program of known length, written in machine code."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from edgewright.benchmarks.targets.arm64.machine import Machine
from edgewright.benchmarks.targets.arm64.processors import PROCESSORS, Processor

SCHED_YIELD, EXIT = 124, 93
SVC = 0xD4000001
BASE = 0x400000


def movz(register: int, value: int) -> int:
    return 0xD2800000 | value << 5 | register


def program(rounds: int) -> bytes:
    """An aarch64 ELF file: a mark, `rounds` times two instructions, a mark, the end."""
    code = [
        *(movz(19, rounds), movz(8, SCHED_YIELD), SVC),
        0xF1000000 | 1 << 10 | 19 << 5 | 19,  # subs x19, x19, #1
        0x54000000 | (2**19 - 1) << 5 | 1,  # b.ne one instruction back
        *(movz(8, SCHED_YIELD), SVC),
        *(movz(0, 0), movz(8, EXIT), SVC),
    ]
    text = struct.pack(f"<{len(code)}I", *code)
    headers = 64 + 56
    size = headers + len(text)
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    elf = struct.pack("<16sHHIQQQIHHHHHH", identity, 2, 183, 1, BASE + headers, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return elf + struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x10000) + text


def count(emulated: Machine, folder: Path, rounds: int) -> int:
    file, marks = folder / "program", folder / "marks"
    file.write_bytes(program(rounds))
    file.chmod(0o755)
    subprocess.run(
        [emulated.about["emulator"], "-plugin", f"./count.so,out={marks}", str(file)],
        cwd=emulated.folder,
        env={"LD_LIBRARY_PATH": ":".join(str(emulated.folder / p) for p in emulated.about["libraries"])},
        check=True,
    )
    before, after = (int(line) for line in marks.read_text().split())
    return after - before


@pytest.mark.slow
def test_qemu_plugin_counts_a_loop_of_known_length_exactly(emulated: Machine, tmp_path: Path) -> None:
    for rounds in (1, 2, 1000, 65535):
        assert count(emulated, tmp_path, rounds) == 2 * rounds + 2  # the loop, and setting the second mark


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda p: p.name)
def test_qemu_plugin_counts_the_same_for_every_round_of_a_python_loop(
    emulated: Machine, tmp_path: Path, processor: Processor
) -> None:
    code = """
from itertools import repeat
from os import sched_yield

def loop(rounds):
    sched_yield()
    for _ in repeat(None, rounds):
        pass
    sched_yield()

for rounds in (1000, 1000, 2000, 3000, 13000):
    loop(rounds)
"""
    done = emulated.run(processor, ("-c", code), marks=tmp_path / "marks")
    assert done.returncode == 0, done.stderr
    marks = [int(line) for line in (tmp_path / "marks").read_text().split()]
    _, one, two, three, thirteen = (b - a for a, b in zip(marks[::2], marks[1::2], strict=True))
    a_thousand = (thirteen - three) / 10
    assert a_thousand > 5000  # some instructions a round; how Python warms up is in the small differences
    assert two - one == pytest.approx(a_thousand, rel=0.005)
    assert three - two == pytest.approx(a_thousand, rel=0.005)


@pytest.mark.slow
def test_qemu_plugin_does_not_count_what_another_thread_does(emulated: Machine, tmp_path: Path) -> None:
    code = """
import threading
from os import sched_yield

def mark(work):
    sched_yield()
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    sched_yield()

for _ in range(3):
    mark(lambda: None)
mark(lambda: [None for _ in range(10**6)])
"""
    done = emulated.run(PROCESSORS[0], ("-c", code), marks=tmp_path / "marks")
    assert done.returncode == 0, done.stderr
    marks = [int(line) for line in (tmp_path / "marks").read_text().split()]
    *_, idle, busy = (b - a for a, b in zip(marks[::2], marks[1::2], strict=True))
    assert busy < idle + 10**6  # the other thread's million rounds take far more
