"""Targets by name, and where a measurement is put."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.benchmarks import targets
from edgewright.benchmarks.record import measurement
from edgewright.runtime.errors import UnknownNameError


def test_targets_are_found_by_their_names() -> None:
    assert "process" in targets.get("local").summary


def test_an_unknown_target_gets_the_nearest_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'local'"):
        targets.get("locl")


@pytest.mark.parametrize("given", ["bundle", "./bundle/", "deep/../bundle", "."])
def test_default_out_of_a_measurement_is_beside_the_bundle_and_never_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    for folder in ("bundle", "deep"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "bundle" if given == "." else tmp_path)
    assert measurement.default_out(Path(given)).resolve() == tmp_path / "bundle-bench.json"
