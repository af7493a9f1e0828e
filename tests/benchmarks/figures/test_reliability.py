"""What attacks bring the readers to is counted rightly, and published with nothing to hide."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgewright.benchmarks.figures.reliability import __main__ as reliability
from edgewright.benchmarks.figures.reliability import fuzz
from edgewright.benchmarks.figures.reliability.attacks import ATTACKS
from edgewright.benchmarks.figures.reliability.rows import NAMES
from edgewright.benchmarks.figures.reliability.targets import TARGETS
from edgewright.benchmarks.figures.render import RESULTS
from edgewright.runtime.errors import BundleError, InputError, MissingExtraError

# A reader that does with its first inputs all that a reader must not do.
CHILD = """
import os, sys
from edgewright.benchmarks.figures.reliability import __main__ as reliability
from edgewright.benchmarks.figures.reliability.attacks import Attack
from edgewright.benchmarks.figures.reliability.targets import Target
from edgewright.runtime.errors import ModelFileError
reliability.HANG_SECONDS = 0.3
kept = []
def read(raw, compare):
    kind = int(raw)
    if kind == 1:
        raise IndexError("x")
    if kind == 2:
        os.abort()
    if kind == 3:
        while True:
            pass
    if kind == 4:
        raise ModelFileError("no")
    if kind == 5:
        return "read otherwise"
    if kind == 6:
        kept.append(b"x" * 50_000_000)
    return ""
class Numbered(Attack):
    def input(self, number):
        return str(number).encode()
class Seeded(Target):
    def seeds(self):
        return (b"0",)
one = Numbered(name="a", target=Seeded(name="a", read=read), inputs=8, make=None)
reliability.serve(one, int(sys.argv[-2]), int(sys.argv[-1]))
"""


def test_reliability_counts_crashes_hangs_memory_and_wrong_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen

    def child(words: list[str], **how: Any) -> Any:
        return start([sys.executable, "-c", CHILD, *words[-2:]], **how)

    monkeypatch.setattr(reliability.subprocess, "Popen", child)
    row = reliability.attack(ATTACKS["contract"], 8)
    counted = {
        key: row[key] for key in ("inputs", "accepted", "refused", "crashes", "hangs", "accepted_wrong")
    }
    assert [*counted.values()] == [8, 3, 1, 2, 1, 1]
    assert 45_000_000 < row["most_bytes"] < 60_000_000


@pytest.mark.parametrize("name", [*TARGETS])
def test_seeds_of_each_target_are_accepted_and_read_as_the_reference_does(name: str) -> None:
    for seed in TARGETS[name].seeds():
        if name == "manifest":  # its hash is made right for each change
            with pytest.raises(BundleError, match="SHA-256"):
                TARGETS[name].read(seed, True)
            continue
        assert TARGETS[name].read(seed, True) == ""


def test_attacks_make_many_inputs_and_the_same_anew() -> None:
    for one in ATTACKS.values():
        assert one.input(3) == one.input(3)
        assert one.name == "onnx-costly" or len({one.input(number) for number in range(20)}) > 10


def test_reliability_is_published_of_every_attack_with_nothing_wrong() -> None:
    rows = json.loads((RESULTS / "reliability.json").read_text(encoding="utf-8"))["rows"]
    assert [row["attack"] for row in rows] == [*NAMES]
    assert sum(row["inputs"] for row in rows) >= 100_000
    for row in rows:
        assert (row["crashes"], row["hangs"], row["accepted_wrong"]) == (0, 0, 0)
        assert row["accepted"] + row["refused"] == row["inputs"]
        assert row["most_bytes"] < 2**30


def test_reliability_of_an_unknown_attack_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected attacks of onnx-bytes, .*, got rowhammer"):
        reliability.main(["--attacks", "rowhammer"])


def test_fuzz_without_atheris_says_which_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'edgewright\[fuzz\]'"):
        fuzz.main(["contract"])
    with pytest.raises(InputError, match="expected --seconds of at least 1, got 0"):
        fuzz.main(["contract", "--seconds", "0"])


@pytest.mark.slow
@pytest.mark.long  # CI runs `make fuzz`
@pytest.mark.parametrize("target", [*TARGETS])
def test_fuzz_of_each_target_begins_and_ends(tmp_path: Path, target: str) -> None:
    pytest.importorskip("atheris")
    words = [sys.executable, "-m", fuzz.__name__, target, "--seconds", "1", "--found", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "stat::number_of_executed_units" in done.stderr
    assert list(tmp_path.iterdir()) == []
