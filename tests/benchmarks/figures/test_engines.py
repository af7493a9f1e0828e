"""What was tuned is held against the best peer that gives the recorded labels, and against no other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgewright.benchmarks.figures import engines
from edgewright.benchmarks.figures import render as readme
from edgewright.benchmarks.figures.engines import One, compared
from edgewright.runtime.errors import EdgewrightError, InputError

RIGHT = list(range(10))


def one(peer: str) -> One:
    return One(peer=peer, variant="tflite-int8", python="python", job={}, right=RIGHT)


class Machine:
    """Openings of peers that take so many nanoseconds, and give such labels."""

    def __init__(self, taken: dict[str, float], labels: dict[str, list[int]] | None = None) -> None:
        self.taken, self.labels, self.openings = taken, labels or {}, 0

    def opened(self, ones: Sequence[One]) -> tuple[list[float], list[Sequence[int]], list[str]]:
        self.openings += 1
        drift = 1 + 0.2 * self.openings  # of all of them
        return (
            [drift * self.taken[each.peer] for each in ones],
            [self.labels.get(each.peer, RIGHT) for each in ones],
            ["it cannot" if each.peer == "broken" else "" for each in ones],
        )


def told(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> dict[str, Any]:
    monkeypatch.setattr(engines, "opened", machine.opened)
    return dict(compared([one(peer) for peer in machine.taken], 6))


def test_engines_ratio_is_the_best_peers_time_over_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(monkeypatch, Machine({"ours": 10e6, "slow": 20e6, "near": 11e6}))
    assert found["best_peer"] == "near tflite-int8"
    assert found["ratio_low"] == found["ratio"] == found["ratio_high"] == pytest.approx(1.1)
    assert (found["met"], found["not_counted"]) == (True, [])


@pytest.mark.parametrize(
    ("ours", "peer", "met"),
    [(10e6, 9.9e6, True), (10e6, 9.7e6, False), (20_000, 19_500, True), (20_000, 18_000, False)],
)
def test_engines_aim_is_two_percent_or_a_microsecond(
    monkeypatch: pytest.MonkeyPatch, ours: float, peer: float, met: bool
) -> None:
    # times are those of an opening in the middle of the drift
    assert told(monkeypatch, Machine({"ours": ours, "peer": peer}))["met"] is met


def test_engines_list_peers_with_other_labels_and_do_not_count_them(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [*RIGHT[:-1], 0]
    machine = Machine({"ours": 10e6, "wrong": 1e6, "broken": 1e6, "slow": 30e6}, {"wrong": wrong})
    found = told(monkeypatch, machine)
    assert found["best_peer"] == "slow tflite-int8"
    assert found["not_counted"] == ["wrong tflite-int8: 9 of 10 labels", "broken tflite-int8: it cannot"]
    with pytest.raises(EdgewrightError, match="a peer that gives the labels of the file"):
        told(monkeypatch, Machine({"ours": 1.0, "wrong": 1.0}, {"wrong": wrong}))


def test_engines_refuse_fewer_openings_than_an_interval_takes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 6 openings"):
        engines.main([str(tmp_path), "--openings", "5", "--out", str(tmp_path)])


@pytest.mark.slow
@pytest.mark.long
def test_engines_are_measured_for_real_and_rendered(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "ROUNDS", 1)
    assert engines.main([str(bundle), "--openings", "6", "--quick", "--out", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "engines.json").read_text())
    rows = written["rows"]
    assert {"label", "inference", "throughput"} == {row["what"] for row in rows}
    for row in rows:
        assert row["recipe"] == "fashion-mlp"
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["best_peer"].split()[0] in engines.PEERS[row["arithmetic"]]
    (tmp_path / "page.md").write_text("<!-- table: engines -->\n<!-- end -->\n")
    readme.main([str(tmp_path / "page.md"), "--results", str(tmp_path)])
    assert (tmp_path / "page.md").read_text().count("| `fashion-mlp` |") == len(rows)
