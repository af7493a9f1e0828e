"""What features of a frozen base save is measured by training both ways, whole, in fresh processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks.figures import render as readme
from edgewright.benchmarks.figures import transfer
from edgewright.runtime.errors import TrainingError
from edgewright.train.datasets import Dataset


@pytest.fixture
def few(tmp_path: Path, fashion_mini: Dataset) -> Path:
    parts = {"train": 120, "test": 20}  # a tenth is held out, one a class at least
    arrays = {f"{a}_{p}": getattr(fashion_mini, f"{a}_{p}")[:n] for p, n in parts.items() for a in "xy"}
    np.savez(tmp_path / "few.npz", **arrays)
    return tmp_path / "few.npz"


def test_transfer_cut_holds_the_first_images(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_CUT", {"train": 7, "test": 3})
    transfer.cut(few, tmp_path / "cut.npz")
    with np.load(few) as whole, np.load(tmp_path / "cut.npz") as found:
        np.testing.assert_array_equal(found["x_train"], whole["x_train"][:7])
        np.testing.assert_array_equal(found["y_test"], whole["y_test"][:3])


@pytest.mark.slow
@pytest.mark.long
def test_transfer_trains_with_and_without_features_and_counts_to_ten_epochs(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "EPOCHS", 2)
    measure, kept = transfer.measure, {}

    def once(data: Path, *words: object, epochs: int, features: bool) -> dict[str, Any]:
        """Each way is trained on the cut; on the whole it would take a minute to do the same."""
        if features not in kept:
            kept[features] = measure(data, *words, epochs=epochs, features=features)
        return {**kept[features], "epochs": epochs}

    monkeypatch.setattr(transfer, "measure", once)
    assert transfer.main([str(few), "--weights", "none", "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "transfer.json").read_text())["rows"]
    assert [(row["data"], row["way"], row["epochs"]) for row in rows] == [
        ("cut", "plain", 2),
        ("cut", "features", 2),
        ("whole", "plain", 1),
        ("whole", "features", 2),
    ]
    assert rows[2]["seconds_ten_epochs"] == pytest.approx(2 * rows[2]["seconds"])
    (tmp_path / "README.md").write_text("<!-- table: transfer -->\n<!-- end -->")
    assert "| whole | features | 2 |" in readme.render((tmp_path / "README.md").read_text(), tmp_path)


@pytest.mark.slow
def test_transfer_tells_a_training_that_fails(few: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"weights file for --weights, got .*absent\.h5, which is no file"
    ):
        transfer.measure(few, str(tmp_path / "absent.h5"), tmp_path, epochs=1, features=True)
    assert [path.name for path in tmp_path.iterdir()] == ["few.npz"]
