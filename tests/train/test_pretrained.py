"""Weights from elsewhere: loaded whole, or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.runtime.disk.files import sha256_of
from edgewright.runtime.errors import InputError
from edgewright.train.pretrained import Weights
from edgewright.train.stack import import_keras


def make(include_top: bool, weights: str | None, filters: int = 4, more: bool = False) -> Any:
    """As the constructors of keras.applications are."""
    assert not include_top
    assert weights is None, "no download in tests"
    layers = import_keras().layers
    chain = [import_keras().Input((8, 8, 3)), layers.Conv2D(filters, 3), layers.BatchNormalization()]
    return import_keras().Sequential(chain + [layers.Conv2D(2, 1)] * more)


@pytest.mark.parametrize("name", ["base.weights.h5", "base.h5"])
def test_pretrained_weights_of_a_file_are_taken(tmp_path: Path, name: str) -> None:
    trained = make(False, None)
    trained.layers[0].bias.assign([1.0, 2.0, 3.0, 4.0])
    path = tmp_path / name
    trained.save_weights(path) if ".weights" in name else trained.save(path)
    found = Weights(source=str(path)).application(make)
    for a, b in zip(found.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_pretrained_weights_record_says_whose_they_are(tmp_path: Path) -> None:
    path = tmp_path / "base.weights.h5"
    make(False, None).save_weights(path)
    given = Weights(source=str(path), licence="Apache-2.0", citation="someone, 2018")
    assert given.record()["name"] == "base.weights.h5"
    assert given.record()["sha256"] == sha256_of(path)
    assert given.record()["licence"] != "Apache-2.0"  # that is the ImageNet weights' own
    assert Weights(licence="Apache-2.0").record()["licence"] == "Apache-2.0"
    assert Weights(source="none").record() == {}


@pytest.mark.parametrize("other", [{"filters": 5}, {"more": True}])
def test_pretrained_weights_of_another_network_are_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    path = tmp_path / "other.weights.h5"
    make(False, None, **other).save_weights(path)
    with pytest.raises(InputError, match=r"expected .*weights of make without its classifier") as caught:
        Weights(source=str(path)).application(make)
    assert "\n" not in str(caught.value)


def test_pretrained_weights_from_what_is_no_weights_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.weights.h5").write_text("none")
    for source in ("text.weights.h5", "absent.weights.h5", "."):
        with pytest.raises(InputError, match="expected") as caught:
            Weights(source=str(tmp_path / source)).application(make)
        assert "\n" not in str(caught.value)


def test_pretrained_weights_whose_download_fails_say_what_to_do_instead() -> None:
    def offline(**_: object) -> Any:
        raise OSError("no route to host")

    with pytest.raises(InputError, match="--weights PATH"):
        Weights().application(offline)
