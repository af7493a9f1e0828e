"""An export does only what no export before it has done, and comes to the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export import exporter, judging, variants
from edgewright.export.exporter import Options, Result
from edgewright.export.source.options import Given
from edgewright.export.work import steps
from edgewright.export.work.protocol import Child
from edgewright.export.work.score import FAST
from edgewright.train.datasets import Dataset
from edgewright.train.normalization import Normalization

NAMES = "tflite-float32,tflite-int8,onnx-int8"
WITH_MIXED = [variant.name for variant in variants.with_mixed(variants.parse(NAMES))]


class Seen:
    """What the converting child was asked for, and how many files were scored."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.converted: list[str] = []
        self.references = self.scored = self.children = 0
        convert, submit, child = Child.convert, steps.Scorer.submit, Child.__init__

        def note_convert(
            process: Child, folder: Path, contracts: Mapping[str, Any], *rest: Any, **named: Any
        ) -> Any:
            self.converted += contracts
            self.references += named["reference"]
            return convert(process, folder, contracts, *rest, **named)

        def note_submit(*given: Any) -> Any:
            self.scored += given[-1] == FAST  # and not the few golden ones in other ways
            return submit(*given)

        def note_child(*given: Any) -> None:
            self.children += 1
            child(*given)

        patch.setattr(Child, "convert", note_convert)
        patch.setattr(steps.Scorer, "submit", note_submit)
        patch.setattr(Child, "__init__", note_child)

    def clear(self) -> None:
        self.converted, self.references, self.scored, self.children = [], 0, 0, 0


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(monkeypatch)


def options(out: Path, **changes: Any) -> Options:
    given = Options(out=out, variants=variants.parse(NAMES), calibration_size=40, overwrite=True)
    return dataclasses.replace(given, **changes)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def summary(result: Result) -> list[Any]:
    return [result.reference, *map(dataclasses.asdict, result.outcomes)]


def test_export_steps_of_a_second_export_do_nothing_anew_and_give_the_same_bytes(
    trained: Path, tmp_path: Path, seen: Seen
) -> None:
    first = exporter.export(trained, options(tmp_path / "first"))
    assert (seen.converted, seen.references, seen.scored) == (WITH_MIXED, 1, 3)
    seen.clear()
    second = exporter.export(trained, options(tmp_path / "second"))
    assert (seen.children, seen.scored) == (0, 0)
    assert summary(first) == summary(second)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


@pytest.mark.slow
def test_export_steps_of_a_changed_option_make_only_what_depends_on_it_anew(
    trained: Path, checkpoint: Path, tmp_path: Path, seen: Seen
) -> None:
    out = tmp_path / "out"
    exporter.export(trained, options(out))
    seen.clear()
    exporter.export(trained, options(out, calibration_size=50))  # other ranges in the int8 files
    assert (seen.converted, seen.references) == (WITH_MIXED[1:], 0)
    seen.clear()
    exporter.export(trained, options(out, max_drop=0.02, repair=False))  # which repair is held against
    exporter.export(trained, options(out, max_drop=0.03, repair=False))
    assert (seen.children, seen.converted, seen.scored) == (1, ["tflite-int8", "onnx-int8"], 0)
    seen.clear()
    exporter.export(checkpoint, options(out))  # the same model at another place
    assert (seen.children, seen.scored) == (0, 0)
    seen.clear()
    exporter.export(trained, options(out, variants=variants.parse("tflite-float32,onnx-float32")))
    assert seen.converted == ["onnx-float32"]
    assert seen.scored == 1


@pytest.mark.slow
def test_export_steps_of_other_test_images_score_anew_and_convert_nothing(
    trained: Path, tmp_path: Path, fashion_mini: Dataset, seen: Seen
) -> None:
    for count in (600, 500):
        np.savez(tmp_path / "test.npz", x=fashion_mini.x_test[:count], y=fashion_mini.y_test[:count])
        given = Given(normalization=Normalization.of_range(0.0, 1.0), test=tmp_path / "test.npz")
        floats = options(tmp_path / "out", variants=variants.parse("tflite-float32"), given=given)
        seen.clear()
        result = exporter.export(trained / "model.keras", floats)
        assert result.reference["samples"] == count
    assert (seen.converted, seen.references, seen.scored) == ([], 1, 1)


@pytest.mark.slow
def test_export_steps_of_an_export_that_was_cut_off_go_on_where_it_was(
    trained: Path, tmp_path: Path, seen: Seen
) -> None:
    def killed(*_: Any) -> Any:
        raise RuntimeError("killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging.gate, "judge", killed)
        with pytest.raises(RuntimeError, match="killed"):
            exporter.export(trained, options(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    seen.clear()
    exporter.export(trained, options(tmp_path / "out"))
    assert (seen.children, seen.converted) == (0, [])
    assert seen.scored == 2  # the first was scored before it was judged
    around = {"manifest.json", "golden.npz", "evidence.npz", "labels.txt"}
    around |= {"provenance.intoto.json", "sbom.cdx.json"}
    assert len(contents(tmp_path / "out").keys() - around) == 3
