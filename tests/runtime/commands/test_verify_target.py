"""`edgewright verify --target`: what another package brings stands beside the CPU's rows."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgewright.runtime.verification import Verification

Run = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]


@pytest.fixture
def _brought(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.metadata.entry_points

    def verify(folder: Path) -> list[Verification]:
        assert (folder / "manifest.json").is_file()
        common = {"kernels": "A GPU", "limit": 0.06}
        return [
            Verification(variant="tflite-float32", status="ok", max_abs_error=1e-6, **common),
            Verification(variant="tflite-int8", status="failed", reason="it died of SIGSEGV", **common),
        ]

    def broken() -> object:
        raise ImportError("no module named so")

    def entry_points(*, group: str) -> object:
        entries = [
            SimpleNamespace(name="made-up", load=lambda: verify),
            SimpleNamespace(name="broken", load=broken),
        ]
        return entries if group == "edgewright.verifiers" else known(group=group)

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


@pytest.mark.usefixtures("_brought")
def test_verify_target_that_is_wrong_fails_though_the_cpu_is_right(run: Run, bundle: Path) -> None:
    status, out, err = run("verify", bundle, "--target", "made-up")
    assert status == 1
    _, beside = out.split("Golden outputs on made-up, beside the CPU's")
    assert [word in beside for word in ("A GPU", "failed", "it died of SIGSEGV")] == [True] * 3
    assert err.strip() == "edgewright: tflite-int8 does not give on made-up what it gives on the CPU"


@pytest.mark.usefixtures("_brought")
@pytest.mark.parametrize(
    ("target", "said"),
    [("made-upp", "did you mean 'made-up'?"), ("broken", "target broken cannot be used here: no module")],
)
def test_verify_target_that_there_is_not_is_refused_in_a_line(
    refused: Refused, bundle: Path, target: str, said: str
) -> None:
    assert said in refused("verify", bundle, "--target", target)


@pytest.mark.usefixtures("_brought")
def test_verify_target_takes_bundles_alone(refused: Refused, bundle: Path) -> None:
    assert "expected a bundle folder with --target" in refused(
        "verify", bundle / "tflite-int8.tflite", "--target", "made-up"
    )
