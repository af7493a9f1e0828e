"""A format nobody has heard of: one new file, whose scheme is declared there and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewright.export import Options, export, formats, variants
from edgewright.runtime import Bundle, plugins
from edgewright.runtime.predictor import recommended

FORMAT = """
from edgewright.export.formats import Scheme
from edgewright.export.formats.tflite.schemes import TFLite

class MadeUp(TFLite):
    schemes = {
        "plain": Scheme(
            summary="made up",
            convert=TFLite.schemes["float32"].convert,
            rank=1,
            default=True,
        )
    }

FORMAT = MadeUp()
"""
CUSTOMIZE = """
import edgewright.export.formats
edgewright.export.formats.__path__.append({folder!r})
"""


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The format's file, found in this process and in those it starts."""
    folder = tmp_path / "formats"
    folder.mkdir()
    (folder / "madeup.py").write_text(FORMAT)
    (tmp_path / "sitecustomize.py").write_text(CUSTOMIZE.format(folder=str(folder)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(folder)])
    plugins.names.cache_clear()
    yield "madeup"
    plugins.names.cache_clear()
    sys.modules.pop("edgewright.export.formats.madeup", None)


@pytest.mark.slow  # its children have another PYTHONPATH: they are started, not forked
def test_made_up_format_scheme_is_a_variant_written_and_recommended_by_its_own_rank(
    made_up: str, trained: Path, tmp_path: Path
) -> None:
    assert made_up in formats.names()
    assert "madeup-plain" in [variant.name for variant in variants.defaults()]
    result = export(trained, Options(out=tmp_path / "bundle", variants="tflite-float32,madeup-plain"))
    assert [outcome.passed for outcome in result.outcomes] == [True, True], result.outcomes
    bundle = Bundle.open(tmp_path / "bundle")
    entry = bundle.variant("madeup-plain")
    assert (entry.format, entry.scheme, entry.arithmetic, entry.rank) == ("madeup", "plain", "float32", 1)
    assert entry.conversion["scheme"] == "made up"
    assert recommended(bundle).name == "madeup-plain"
