"""The table of what was counted: medians, every count, every note."""

from __future__ import annotations

import pytest

from edgewright.benchmarks import counts
from edgewright.benchmarks.measurement import Measurement


def measured(variant: str, **found: list[float]) -> Measurement:
    return Measurement(
        variant=variant,
        target="arm64",
        threads=1,
        kernels=f"kernels of {variant}",
        samples_ns={},
        peak_rss_bytes=0,
        base_rss_bytes=0,
        environment={"cpu": "an emulated processor"},
        counts=found,
        notes=["something is odd"] if variant == "b" else [],
    )


def test_each_count_has_a_row_and_each_variant_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    counts.show(
        [measured("a", instructions=[1, 1234567, 2e9], accuracy=[0.98765]), measured("b", accuracy=[1])]
    )
    said = capsys.readouterr().out
    assert "an emulated processor" in said.splitlines()[0]
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert rows["instructions"] == ["1,234,567", "-"]
    assert rows["accuracy"] == ["0.9877", "1"]
    assert "kernels of a" in said
    assert said.splitlines()[-1] == "warning: b: something is odd"
