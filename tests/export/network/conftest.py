"""Small networks of others, as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a Keras model as a .keras or .h5 file, or a SavedModel as Keras itself writes them."""

    def call(model: Any, suffix: str = ".keras") -> Path:
        path = tmp_path / f"net{suffix}"
        if suffix:
            model.save(path)
        else:
            model.export(path, verbose=False)
        return path

    return call
