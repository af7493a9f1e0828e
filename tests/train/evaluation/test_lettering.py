"""Labels of any script in plots: drawn where a font has them, replaced where none has, never a warning."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from edgewright.train.evaluation import lettering, plots

LABELS = ("猫", "собака", "$5 \\frac{", "cat")


def test_labels_that_no_font_has_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "_others", list)
    with lettering.of([*LABELS, "犬cat\nline"]) as drawn:
        assert drawn == ["?", *LABELS[1:], "?cat\nline"]


def test_labels_are_drawn_by_the_font_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    before = matplotlib.rcParams["font.family"]
    monkeypatch.setattr(
        lettering, "_letters_of", lambda path: frozenset("猫") if path == "b" else frozenset("cat")
    )
    monkeypatch.setattr(lettering, "_others", lambda: [("A", "a"), ("B", "b"), ("C", "c")])
    with lettering.of(["猫cat"]) as drawn:
        assert drawn == ["猫cat"]
        assert matplotlib.rcParams["font.family"] == [*before, "B"]
    assert matplotlib.rcParams["font.family"] == before


def test_plots_with_labels_of_any_script_are_pictures(tmp_path: Path) -> None:
    """A warning of matplotlib's would be an error here."""
    plots.confusion(np.eye(4, dtype=np.int64), LABELS, tmp_path / "confusion.png")
    images = np.zeros((4, 8, 8, 3), np.uint8)
    plots.samples(images, LABELS, "標本 $x^{", tmp_path / "samples.png")
    for name in ("confusion", "samples"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.convert("L").getextrema()[0] == 0
