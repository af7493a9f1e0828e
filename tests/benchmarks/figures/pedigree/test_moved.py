"""What moved between two editions of published figures is told from noise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgewright.benchmarks.figures.pedigree import again, moved, stale
from edgewright.export.proof.interval import score_interval
from edgewright.runtime.errors import InputError


def test_moved_finds_what_was_planted_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    shutil.copytree(stale.RESULTS, before)
    shutil.copytree(before, after)
    assert moved.main([str(before), str(after)]) == 0
    assert "beyond or without interval; 0 rows new, 0 gone" in capsys.readouterr().out
    bench = json.loads((after / "bench.json").read_text())
    slow = next(row for row in bench["rows"] if row["metric"] == "p50" and row["target"] == "local")
    slow |= {end: slow[end] * 2 for end in ("value", "low", "high")}
    near = next(row for row in bench["rows"] if row["metric"] == "p90" and row["low"] < row["value"])
    near["value"] = near["low"]
    gone = bench["rows"].pop()
    (after / "bench.json").write_text(json.dumps(bench))
    gate = json.loads((after / "gate.json").read_text())
    many = next(row for row in gate["rows"] if row["passed"] > 1000)
    many["passed"] += 600
    few = next(row for row in gate["rows"] if 10 < row["passed"] < 1000)
    few["passed"] += 1
    (after / "gate.json").write_text(json.dumps(gate))
    train = json.loads((after / "train.json").read_text())
    train["rows"][0]["test_accuracy"] = 0.5
    (after / "train.json").write_text(json.dumps(train))
    assert moved.main([str(before), str(after)]) == 0
    said = capsys.readouterr().out
    assert f"{slow['recipe']} {slow['variant']} local {slow['threads']} p50, value: " in said
    assert ", +100.0%" in said
    assert f"gone: {gone['recipe']} {gone['variant']}" in said
    lines = {line.partition(": ")[0]: line for line in said.splitlines() if not line.startswith(" ")}
    assert (
        "1 figures moved within noise, 1 beyond or without interval; 0 rows new, 1 gone"
        in lines["bench.json"]
    )
    assert "1 figures moved within noise, 1 beyond" in lines["gate.json"]
    assert "0 figures moved within noise, 1 beyond" in lines["train.json"]
    assert all(
        "0 figures moved" in line for name, line in lines.items() if name not in ("bench.json", "gate.json")
    )


def test_moved_knows_all_published_rows_apart() -> None:
    for path in stale.RESULTS.glob("*.json"):
        rows = json.loads(path.read_text())["rows"]
        found = moved.moves(path.stem, rows, rows[::-1])
        assert not found.moves and not found.new and not found.gone, path


def test_moved_refuses_what_is_no_folder_of_results(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder of results"):
        moved.main([str(tmp_path), str(tmp_path / "none")])
    with pytest.raises(InputError, match="got sizes"):
        moved.moves("sizes", [], [])


def test_again_finds_what_a_row_says_otherwise_than_its_counts() -> None:
    results = {path.stem: json.loads(path.read_text())["rows"] for path in stale.RESULTS.glob("*.json")}
    for kind, rows in results.items():
        assert not [wrong for row in rows for wrong in again.derived(kind, row)]
    low, high = score_interval(8, 3, 1000)
    judged = {"samples": 1000, "class_lost": [2, 6], "class_won": [3, 0], "drop": 0.005}
    judged |= {"drop_low": low, "drop_high": high}
    assert not [*again.derived("export", judged)]
    assert [*again.derived("export", {**judged, "drop_high": judged["drop_high"] + 1e-4})]
    assert [*again.derived("export", {**judged, "drop": judged["drop"] + 1e-3})]
    timed = results["runtime"][0]
    assert [*again.derived("runtime", {**timed, "verdict": "missed", "met": False})]
    assert [*again.derived("bench", {**results["bench"][0], "value": 1e9})]
    assert not [*again.drops(results["export"])]
    place = next(i for i, row in enumerate(results["export"]) if "drop" in row)
    results["export"][place]["accuracy"] -= 0.001
    assert len([*again.drops(results["export"])]) == 1


def test_again_tells_shares_apart_that_chance_does_not_explain() -> None:
    assert not again.apart((5, 200), (250, 10_000))
    assert not again.apart((0, 200), (30, 10_000))
    assert again.apart((60, 200), (250, 10_000))
    assert again.apart((199, 200), (5000, 10_000))


@pytest.mark.slow
@pytest.mark.long  # `make figures-check` does the same
def test_again_bears_out_what_is_published(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert again.main([str(bundle)]) == 0
    said = capsys.readouterr().out
    assert said.count("as published") == 5
    assert "contradict" not in said
