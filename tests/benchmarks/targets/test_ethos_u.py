"""The target ethos-u: what vela says is read as it is meant, and what it cannot judge is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.benchmarks import targets
from edgewright.benchmarks.record.measurement import Plan
from edgewright.benchmarks.targets import ethos_u
from edgewright.benchmarks.targets.ethos_u import NPUS, TARGET, parse
from edgewright.export.exporter import Result
from edgewright.runtime import Bundle, plugins
from edgewright.runtime.errors import InputError, MissingExtraError, TargetError

Run = Callable[..., tuple[int, str, str]]

SUMMARY = """\
experiment,core_clock,sram_memory_used,dram_memory_used,on_chip_flash_memory_used,off_chip_flash_memory_used,cycles_total
default,500000000.0,30.859375,0.0,0.0,206.1875,240792
"""
SAID = """\
Accelerator configuration               Ethos_U55_128
CPU operators = 3 (12.5%)
NPU operators = 21 (87.5%)
"""


def test_vela_summary_is_read_in_bytes_cycles_and_hertz() -> None:
    found = parse(SUMMARY, SAID)
    assert (found.cycles, found.clock_hz) == (240792, 500e6)
    assert found.memory_bytes == {"sram": 31600, "dram": 0, "flash": 211136, "on_chip_flash": 0}
    assert (found.cpu_operators, found.npu_operators) == (3, 21)


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (SUMMARY.replace("cycles_total", "cycles"), SAID),
        (SUMMARY.replace("240792", "many"), SAID),
        (SUMMARY.splitlines()[0], SAID),
        (SUMMARY, SAID.replace("NPU operators", "operators")),
    ],
)
def test_vela_summary_of_another_version_than_the_known_one_is_refused(summary: str, said: str) -> None:
    with pytest.raises(TargetError, match="expected vela's summary as of version 5") as refused:
        parse(summary, said)
    assert "\n" not in str(refused.value)


def test_ethos_u_estimates_an_integer_file_for_each_npu_at_a_stated_clock(
    exported: tuple[Path, Result],
) -> None:
    opened = Bundle.open(exported[0])
    TARGET.check(opened, "tflite-int8", Plan())
    found = TARGET.run(opened, "tflite-int8", Plan())
    assert found.samples_ns == {}
    assert found.notes == []
    weights = opened.variant("tflite-int8").file.bytes
    for npu in NPUS:
        assert npu.system in found.environment["cpu"]
        assert npu.memory in found.environment["cpu"]
        clock = found.environment["configurations"][npu.name]["clock_hz"]
        (cycles,) = found.counts[f"{npu.name}_cycles"]
        (ms,) = found.counts[f"{npu.name}_estimated_ms"]
        assert cycles > 1000
        assert ms == pytest.approx(cycles / clock * 1e3)
        assert found.counts[f"{npu.name}_cpu_ops_share"] == [0.0]
        assert found.counts[f"{npu.name}_sram_bytes"][0] > 0
        outside = "flash" if npu.name.startswith("u55") else "dram"
        assert 0.5 * weights < found.counts[f"{npu.name}_{outside}_bytes"][0] < 1.5 * weights


def test_ethos_u_notes_operators_left_to_the_cpu(
    exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ethos_u, "estimate", lambda path, sha256, npu: parse(SUMMARY, SAID))
    found = TARGET.run(Bundle.open(exported[0]), "tflite-int8", Plan())
    assert found.counts["u85_256_cpu_ops_share"] == [3 / 24]
    (note,) = found.notes
    assert note.startswith(
        "tflite-int8 leaves operators to the CPU, whose time is not in it: 3 of 24 on Ethos-"
    )


@pytest.mark.parametrize("variant", ["tflite-float32", "tflite-dynamic-int8"])
def test_ethos_u_refuses_float_files_which_vela_would_leave_to_the_cpu_without_a_word(
    exported: tuple[Path, Result], variant: str
) -> None:
    with pytest.raises(InputError, match=r"computes in integers and takes none .*; take tflite-int8"):
        TARGET.check(Bundle.open(exported[0]), variant, Plan())


def test_ethos_u_refuses_onnx_files_whether_vela_is_here_or_not(
    exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "installed", lambda module: False)
    with pytest.raises(InputError, match=r"expected an integer \.tflite .* got onnx-int8\.onnx"):
        TARGET.check(Bundle.open(exported[0]), "onnx-int8", Plan())
    with pytest.raises(MissingExtraError, match=r"pip install 'edgewright\[ethos-u\]'"):
        TARGET.check(Bundle.open(exported[0]), "tflite-int8", Plan())
    assert "ethos-u-vela" in TARGET.missing()


def test_ethos_u_refuses_options_an_estimate_knows_nothing_of(exported: tuple[Path, Result]) -> None:
    with pytest.raises(InputError, match="ethos-u"):
        TARGET.check(Bundle.open(exported[0]), "tflite-int8", Plan(threads=2))
    with pytest.raises(InputError, match=r"expected --images with .*\(arm64, gpu, micro, ssh\), got ethos-u"):
        targets.check_options("ethos-u", ["images"])


@pytest.mark.parametrize("ending", ["import os; os.abort()", "raise SystemExit('Error: Invalid TFLite')"])
def test_vela_ended_by_a_file_is_a_refusal_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    (tmp_path / "ethosu").mkdir()
    (tmp_path / "ethosu/vela.py").write_text(ending)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputError, match=r"^vela cannot compile m\.tflite for Ethos-U55-128: ") as refused:
        ethos_u.estimate(tmp_path / "m.tflite", ending, NPUS[0])
    assert str(refused.value).endswith("it crashed" if "abort" in ending else "Error: Invalid TFLite")


def test_ethos_u_bench_measures_what_it_can_and_names_the_rest(run: Run, bundle: Path) -> None:
    words = ("--target", "ethos-u", "--variants", "tflite-int8,tflite-float32,onnx-int8")
    status, said, complaints = run("bench", bundle, *words)
    assert status == 0
    assert [line.split()[1] for line in complaints.splitlines()] == ["tflite-float32", "onnx-int8"]
    assert "u55_128_cycles" in said
    assert "500 MHz (Ethos_U55_High_End_Embedded, Shared_Sram)" in said
    assert "nothing ran" in said
    status, said, complaints = run("bench", bundle, "--target", "ethos-u", "--variants", "onnx-int8")
    assert (status, said) == (1, "")
    assert complaints.count("\n") == 1
