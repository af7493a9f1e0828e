"""Measurements add up over files, threads and machines; nothing stays of a file that has changed."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgewright.benchmarks.record import merging, record
from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.record.record import Record
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import BundleError, InputError

INT8, FLOAT = "tflite-int8", "tflite-float32"
PRESENT = {INT8: ("a" * 64, 214_306), FLOAT: ("b" * 64, 214_306)}
PLAN = Plan(runs=7)


def of(made: SimpleNamespace, measurements: Sequence[Measurement], **environment: object) -> Record:
    found: Record = made.record(measurements, **environment)
    models = {
        name: dataclasses.replace(model, sha256=PRESENT[name][0]) for name, model in found.models.items()
    }
    return dataclasses.replace(found, models=models)


def middles(one: Record) -> dict[str, float]:
    """Milliseconds by what was measured."""
    return {f"{k[0]} {k[2]}": round(one.figures(k)["p50"].estimate.value, 3) for k in one.by_key()}


def test_add_replaces_what_is_measured_again_and_keeps_the_rest(
    made: SimpleNamespace, tmp_path: Path
) -> None:
    out = tmp_path / "deep/bench.json"
    first = of(
        made, [*made.timed(INT8, 10_000), *made.timed(FLOAT, 30_000), *made.timed(INT8, 8_000, threads=2)]
    )
    assert merging.add(out, first, [PLAN], PRESENT) == merging.Added(path=out)
    added = merging.add(out, of(made, made.timed(INT8, 20_000)), [Plan(runs=9)], PRESENT)
    assert added.kept == ((FLOAT, "local", 1), (INT8, "local", 2))
    assert (added.elsewhere, added.dropped) == (0, {})
    (found,) = record.read_records(out)
    assert middles(found) == {
        f"{INT8} 1": pytest.approx(0.02, rel=0.05),
        f"{INT8} 2": pytest.approx(0.008, rel=0.05),
        f"{FLOAT} 1": pytest.approx(0.03, rel=0.05),
    }
    assert all(len(measured) == 6 for measured in found.by_key().values())
    kept = [m for m in first.measurements if m.variant == FLOAT]
    assert [m for m in found.measurements if m.variant == FLOAT] == kept  # every raw sample
    assert [plan["runs"] for plan in found.plans] == [9, 7]
    assert found.models.keys() == {INT8, FLOAT}


def test_add_keeps_what_another_machine_measured_apart(made: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    merging.add(out, of(made, [*made.timed(INT8), *made.timed(FLOAT)], cpu="B CPU"), [PLAN], PRESENT)
    added = merging.add(out, of(made, made.timed(INT8, 20_000)), [PLAN], PRESENT)
    assert (added.kept, added.elsewhere) == ((), 2)
    here, there = record.read_records(out)
    assert (here.environment["cpu"], there.environment["cpu"]) == ("A CPU", "B CPU")
    assert record.read_record(out) == here  # what an older version reads of it is the last machine's
    added = merging.add(out, of(made, made.timed(FLOAT), cpu="B CPU"), [PLAN], PRESENT)
    there, here = record.read_records(out)
    assert there.environment["cpu"] == "B CPU"
    assert set(middles(there)) == {f"{INT8} 1", f"{FLOAT} 1"}
    assert middles(here) == {f"{INT8} 1": pytest.approx(0.02, rel=0.05)}


def test_add_counts_once_whatever_machine_counted(made: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    merging.add(out, of(made, [*made.counted(INT8, 1), *made.timed(INT8)], cpu="B CPU"), [], PRESENT)
    merging.add(out, of(made, made.counted(INT8, 2)), [], PRESENT)
    here, there = record.read_records(out)
    assert list(here.by_key()) == [(INT8, "arm64", 1)]
    assert list(there.by_key()) == [(INT8, "local", 1)]


def test_add_drops_measurements_of_files_that_have_changed_or_gone(
    made: SimpleNamespace, tmp_path: Path
) -> None:
    out = tmp_path / "bench.json"
    both = of(made, [*made.timed(INT8), *made.timed(FLOAT)])
    merging.add(out, both, [PLAN], PRESENT)
    present = {INT8: ("c" * 64, 214_306)}  # as many bytes, other ones
    added = merging.add(out, of(made, made.timed(INT8, threads=2)), [PLAN], present)
    assert added.dropped == {INT8: "was another file then", FLOAT: "is not in the bundle"}
    (found,) = record.read_records(out)
    assert list(found.by_key()) == [(INT8, "local", 2)]


def test_add_takes_an_older_files_measurements_by_their_bytes(made: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    record.write_record(out, made.record(made.timed(FLOAT)))  # without SHA-256, without plans
    data = json.loads(out.read_bytes())
    for key in ("plans", "profiles"):
        del data[key]
    del data["models"][FLOAT]["sha256"]
    out.write_text(json.dumps(data))
    assert merging.add(out, of(made, made.timed(INT8)), [], PRESENT).kept == ((FLOAT, "local", 1),)
    smaller = {**PRESENT, FLOAT: ("b" * 64, 5)}
    out.write_text(json.dumps(data))
    assert merging.add(out, of(made, made.timed(INT8)), [], smaller).dropped.keys() == {FLOAT}


def test_check_place_refuses_what_is_not_this_bundles(made: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    merging.check_place(out, "fashion-mlp")
    record.write_record(out, made.record(made.timed()))
    merging.check_place(out, "fashion-mlp")
    with pytest.raises(
        InputError, match=r"expected measurements of 'mnist-cnn' in .*, got those of 'fashion-mlp'"
    ):
        merging.check_place(out, "mnist-cnn")
    with pytest.raises(InputError, match="expected --out to be a file"):
        merging.check_place(tmp_path, "fashion-mlp")
    for raw in (b"", b"{", b"[]", b'{"schema_version": 1}', b'{"schema_version": 9}'):
        out.write_bytes(raw)
        with pytest.raises(BundleError):
            merging.check_place(out, "fashion-mlp")


def test_add_loses_nothing_where_the_file_has_become_another_one(
    made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bench.json"
    found = of(made, made.timed(INT8))
    out.write_text("notes of mine")
    added = merging.add(out, found, [PLAN], PRESENT)
    assert (out.read_text(), added.path) == ("notes of mine", tmp_path / "bench-2.json")
    assert record.read_record(added.path).measurements == found.measurements
    out.unlink()
    merging.add(out, of(made, made.timed(FLOAT)), [PLAN], PRESENT)
    monkeypatch.setattr(jsonio, "MAX_BYTES", 1.5 * out.stat().st_size)  # both would not be read again
    assert merging.add(out, found, [PLAN], PRESENT).path == tmp_path / "bench-3.json"


def _add(made: SimpleNamespace, out: Path, name: str, times: int) -> None:
    for threads in range(1, times + 1):
        merging.add(out, of(made, made.timed(name, threads=threads)), [PLAN], PRESENT)


def test_add_of_two_runs_at_once_keeps_both(made: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    fork = multiprocessing.get_context("fork")
    runs = [fork.Process(target=_add, args=(made, out, name, 6)) for name in (INT8, FLOAT)]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert [one.exitcode for one in runs] == [0, 0]
    (found,) = record.read_records(out)
    assert len(found.by_key()) == 12
    assert list(tmp_path.iterdir()) == [out]


def test_add_keeps_times_of_others_where_answers_alone_were_found(
    made: SimpleNamespace, tmp_path: Path
) -> None:
    out = tmp_path / "bench.json"
    merging.add(out, of(made, made.timed(INT8), cpu="B CPU"), [], PRESENT)
    alone = [dataclasses.replace(m, samples_ns={}) for m in made.timed(INT8)[:1]]
    added = merging.add(out, of(made, alone), [], PRESENT)
    assert added.elsewhere == 1
    assert record.read_records(out)[1].measurements[0].samples_ns["warm_run"]
