"""A layer for which weights are rounded or removed: what it sees, and its weights."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def inputs() -> Floats:
    """Inputs that go along with each other, as those of neighbouring pixels, behind a ReLU."""
    random = np.random.default_rng(0)
    mixed = random.normal(size=(4000, 12)) @ random.normal(size=(12, 72)) + random.normal(size=(4000, 72))
    return np.maximum(mixed + 0.5, 0).astype(np.float32)


@pytest.fixture(scope="module")
def weights() -> Floats:
    return np.random.default_rng(1).normal(0, 0.1, (16, 72)).astype(np.float32)
