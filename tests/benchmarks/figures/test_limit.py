"""Where the time goes: that the parts are the whole, and that each is held against the right peak."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks.figures.limit import cutting, guest, stages
from edgewright.benchmarks.figures.limit.__main__ import main
from edgewright.benchmarks.figures.photos import Camera
from edgewright.benchmarks.figures.render import RESULTS
from edgewright.benchmarks.measure import cost
from edgewright.benchmarks.targets.arm64.machine import Machine
from edgewright.benchmarks.targets.arm64.processors import PROCESSORS
from edgewright.export.exporter import Result
from edgewright.runtime import backends
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import EdgewrightError, InputError, TargetError
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

KEYS = {"stage", "operators", "cost", "share", "macs", "peak_share", "left"}
SIZE = (60, 45)


@pytest.fixture(scope="module")
def shared(exported: tuple[Path, Result]) -> Bundle:
    return Bundle.open(exported[0])


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    return Camera(SIZE).take(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))


@pytest.mark.parametrize("variant", ["tflite-float32", "tflite-int8", "tflite-dynamic-int8"])
def test_limit_operators_alone_one_after_the_other_give_what_the_file_gives(
    shared: Bundle, variant: str
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path = shared.path(shared.variant(variant).file)
    pixels = read_golden(shared)[GOLDEN_INPUTS][:1]
    backend = backends.for_path(path)
    with closing(backend.open(backend.read(path), 1)) as session:
        expected = session.run(pixels)
    values: dict[str, Any] = {}
    alone = list(cutting.operators(path.read_bytes()))
    for raw in alone:
        interpreter = Interpreter(model_content=raw, num_threads=1)
        interpreter.allocate_tensors()
        for given in interpreter.get_input_details():
            interpreter.set_tensor(given["index"], values.get(given["name"], pixels))
        interpreter.invoke()
        values |= {o["name"]: interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()}
        last = interpreter.get_output_details()[0]
    scale, zero = last["quantization"]
    found = values[last["name"]].astype(np.float32)
    np.testing.assert_allclose((found - zero) * scale if scale else found, expected, atol=1e-6)
    assert len(alone) == len(backend.graph(backend.read(path)).nodes)


def test_limit_rows_hold_each_stage_against_its_peak(shared: Bundle, jpeg: bytes) -> None:
    def measure(job: Mapping[str, Any], folder: Path) -> list[float]:
        count = len(job["models"]) - 1
        assert all(Path(path).parent == folder for path in job["models"][1:])
        return [4.0, 1.0, 2.0, count + 3.0, *[1.0] * count, 8.0, 2.0]

    variant = "tflite-int8"
    path = shared.path(shared.variant(variant).file)
    backend = backends.for_path(path)
    nodes = backend.graph(backend.read(path)).nodes
    rows = {row["stage"]: row for row in stages.rows_of(shared, variant, jpeg, SIZE, measure)}
    assert tuple(rows) == stages.STAGES
    assert all(set(row) == KEYS for row in rows.values())
    total = 4 + 2 + len(nodes) + 3
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    assert rows["decode"]["peak_share"] == 0.25
    assert rows["decode"]["left"] == pytest.approx(3 / total)
    assert rows["between"]["cost"] == 3
    dense = [node for node in nodes if node.operator == "FULLY_CONNECTED"]
    at_peak = sum(node.macs or 0 for node in dense) / (cost.SIZE**3 / 2.0)
    assert rows["dense"]["operators"] == len(dense) > 0
    assert rows["dense"]["peak_share"] == pytest.approx(at_peak / len(dense))
    resized = stages.resize_macs(SIZE, shared.manifest.input)
    assert rows["resize"]["peak_share"] == pytest.approx(resized / (cost.SIZE**3 / 8.0) / 2)
    assert rows["other"]["peak_share"] is None
    assert rows["other"]["left"] == pytest.approx(rows["other"]["share"])


def test_limit_resize_counts_two_passes() -> None:
    contract = InputContract(height=5, width=10, channels=3)
    assert stages.resize_macs((20, 30), contract) == 2 * 3 * (30 * 20 + 10 * 30)


def test_limit_times_of_here_are_those_of_parts(shared: Bundle, jpeg: bytes) -> None:
    rows = stages.rows_of(shared, "tflite-int8", jpeg, SIZE, partial(stages.here, rounds=2))
    assert all(0 <= row["cost"] < 1 for row in rows if row["stage"] != "between")
    assert 0 < next(row["peak_share"] for row in rows if row["stage"] == "decode") <= 1.5


def test_limit_says_that_the_program_failed(shared: Bundle, tmp_path: Path) -> None:
    with pytest.raises(EdgewrightError, match="times the parts"):
        stages.here({"picture": str(tmp_path / "none")}, tmp_path, 1)


def test_limit_marks_each_part_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(guest, "parts", lambda job: [lambda: said.append("a"), lambda: said.append("b")])
    monkeypatch.setattr(guest.os, "sched_yield", lambda: said.append("|"))
    guest.main({"rounds": 0})
    assert "".join(said) == "a|a|b|b|"


def test_limit_names_a_missing_data_set(tmp_path: Path) -> None:
    words = [str(tmp_path), "--cifar10", str(tmp_path / "cifar10.npz"), "--out", str(tmp_path)]
    with pytest.raises(InputError, match=r"cifar10\.npz"):
        main(words)


def test_limit_published_rows_add_up() -> None:
    published = json.loads((RESULTS / "limit.json").read_text(encoding="utf-8"))
    by_file: dict[tuple[str, ...], float] = {}
    for row in published["rows"]:
        own = KEYS | {"recipe", "variant", "machine", "unit", "code"}
        assert own <= set(row) <= own | {"file_sha256", "data_sha256"}
        key = (row["recipe"], row["variant"], row["machine"])
        by_file[key] = by_file.get(key, 0) + row["share"]
    assert len({recipe for recipe, *_ in by_file}) == 3
    assert {machine for *_, machine in by_file} == {"here", "a76"}
    assert all(total == pytest.approx(1) for total in by_file.values())


@pytest.mark.slow
@pytest.mark.long
def test_limit_counts_the_instructions_of_each_part(
    shared: Bundle, jpeg: bytes, emulated: Machine, tmp_path: Path
) -> None:
    if not emulated.about["counts"]:
        pytest.skip("this QEMU counts no instructions")
    measure = partial(stages.emulated, emulated, PROCESSORS[-1])
    rows = {row["stage"]: row for row in stages.rows_of(shared, "tflite-int8", jpeg, SIZE, measure)}
    assert min(rows[stage]["cost"] for stage in ("decode", "resize", "dense")) > 1000
    assert 0 < rows["dense"]["peak_share"] < 2
    assert abs(rows["between"]["share"]) < 0.5
    with pytest.raises(TargetError, match=r"the parts on .*A76"):
        stages.emulated(emulated, PROCESSORS[-1], {"picture": "none"}, tmp_path)
