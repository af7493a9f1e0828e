"""Target gpu on a bundle: what it takes, what it says, and what a report makes of that."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewright.benchmarks.record.measurement import Check, Plan
from edgewright.benchmarks.targets.gpu import ENGINE, TARGET
from edgewright.benchmarks.targets.gpu.target import remedy
from edgewright.runtime import Bundle
from edgewright.runtime.errors import InputError
from edgewright.runtime.verification import read_golden
from edgewright.train.datasets import Dataset

Run = Callable[..., tuple[int, str, str]]
WRONG = Check(
    images=40,
    max_abs_error=0.7,
    agreement=0.85,
    verdict="wrong",
    first_wrong_op="CONV_2D",
    layer="conv2d_5",
    remedy="export it again",
)


@pytest.mark.parametrize(
    ("variant", "plan", "said"),
    [
        ("onnx-int8", Plan(), "expected a .tflite for target gpu, got onnx-int8.onnx"),
        ("tflite-int8", Plan(threads=2), "expected 1 thread for target gpu, got 2"),
        ("tflite-int8", Plan(options={"images": "none.npz"}), "cannot read none.npz"),
    ],
)
def test_gpu_target_refuses_what_it_does_not_take(bundle: Path, variant: str, plan: Plan, said: str) -> None:
    with pytest.raises(InputError, match=said):
        TARGET.check(Bundle.open(bundle), variant, plan)


def test_gpu_remedy_is_another_file_or_the_cpu(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    int8, float32 = (opened.variant(f"tflite-{scheme}") for scheme in ("int8", "float32"))
    assert remedy("CONV_2D", opened, int8) == "export it again: this is written otherwise there"
    written = dataclasses.replace(int8, conversion={"chosen": {"gpu": "written for GPUs"}})
    assert remedy("CONV_2D", opened, written) == "run it on the CPU, or take tflite-float32 there"
    assert remedy("CONV_2D", opened, float32) == "run it on the CPU, or take another variant there"
    dynamic = opened.variant("tflite-dynamic-int8")
    assert remedy("CONV_2D", opened, dynamic).startswith("export tflite-dynamic-int8-gpu")


def test_report_has_a_column_of_what_the_gpu_makes_of_each_file(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    measured = [
        {"variant": "tflite-int8", "check": dataclasses.asdict(WRONG)},
        {
            "variant": "tflite-float32",
            "check": dataclasses.asdict(Check(images=40, max_abs_error=1e-6, agreement=1.0, verdict="right")),
        },
    ]
    common = {
        "target": "gpu",
        "threads": 1,
        "kernels": "A GPU",
        "samples_ns": {},
        "peak_rss_bytes": 0,
        "base_rss_bytes": 0,
        "environment": {"cpu": "A GPU"},
    }
    data = {
        "schema_version": 1,
        "bundle": "fashion-mlp",
        "environment": {"cpu": "A CPU"},
        "measurements": [{**common, **one} for one in measured],
    }
    bundle.with_name("bundle-bench.json").write_text(json.dumps(data))
    for suffix in ("md", "html", "json"):
        assert run("report", bundle, "--out", tmp_path / f"report.{suffix}")[0] == 0
    text = (tmp_path / "report.md").read_text()
    assert "right on gpu" in text
    assert "tflite-int8 is not for target gpu: 85.0% of 40 labels as on the CPU" in text.replace("\\", "")
    page = (tmp_path / "report.html").read_text()
    assert "conv2d_5" in page and "export it again" in page
    told = json.loads((tmp_path / "report.json").read_bytes())["tasks"][0]["bundles"][0]["measurements"]
    assert [one["check"]["verdict"] for one in told] == ["wrong", "right"]


@pytest.mark.slow
def test_bench_on_gpu_finds_the_files_of_fashion_mlp_right(
    run: Run, bundle: Path, tmp_path: Path, fashion_mini: Dataset
) -> None:
    if lacking := ENGINE.missing():
        pytest.skip(f"target gpu needs {lacking}")
    out, images = tmp_path / "out.json", tmp_path / "images.npz"
    np.savez(images, x=fashion_mini.x_test[:40], y=fashion_mini.y_test[:40])
    status, said, complaints = run("bench", bundle, "--target", "gpu", "--images", images, "--out", out)
    assert status == 0
    assert "onnx-int8 is not measured: expected a .tflite for target gpu" in complaints
    assert "Scores of target gpu beside the CPU's" in said
    checks = {m["variant"]: m["check"] for m in json.loads(out.read_bytes())["measurements"]}
    assert set(checks) == {f"tflite-{s}" for s in ("float32", "float16", "dynamic-int8", "int8")}
    assert {check["verdict"] for check in checks.values()} == {"right"}
    golden = len(read_golden(Bundle.open(bundle))["inputs"])
    assert {check["images"] for check in checks.values()} == {golden + 40}
