"""Seeds that were tried on the same test images are counted, and what cannot be kept is no failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.export.proof import tries
from edgewright.runtime.disk import files


def test_seeds_are_counted_by_model_and_test_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path))
    assert [tries.count("model", "images", seed) for seed in (0, 0, 3, 0, 4)] == [1, 1, 2, 2, 3]
    assert tries.count("another", "images", 5) == tries.count("model", "others", 5) == 1


def test_seeds_are_counted_anew_where_the_count_is_damaged_or_cannot_be_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path))
    tries.count("model", "images", 0)
    (kept,) = (tmp_path / "seeds").iterdir()
    kept.write_bytes(b"no JSON")
    assert tries.count("model", "images", 1) == 1

    def full(*unused: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(files, "write_file", full)
    assert tries.count("third", "images", 1) == 1
