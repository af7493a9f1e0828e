"""Weights from elsewhere: loaded whole, or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.runtime.disk.files import sha256_of
from edgewright.runtime.errors import InputError
from edgewright.train.checkpoint import scale
from edgewright.train.pretrained import BASES, Weights
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name == "MobileNetV2" else pytest.param(name, marks=pytest.mark.long) for name in BASES]
)
def test_bases_take_their_range_freeze_whole_and_cross_to_tf_keras(name: str, tmp_path: Path) -> None:
    from edgewright.train import recipe
    from edgewright.train.bridge import to_tf_keras
    from edgewright.train.fitting import features

    keras = import_keras()
    photos = recipe.get("photos").starting_from("photos", name.lower(), "none")
    assert photos.weights is not None
    assert (photos.weights.base, photos.input_range) == (name, BASES[name].input_range)
    path = tmp_path / "base.weights.h5"
    photos.weights.network(keras, (96, 96, 3)).save_weights(path)
    photos = photos.starting_from("photos", None, str(path))
    model = photos.build(keras, (64, 80, 1), 3, photos.weights, "softmax")
    assert model.output_shape == (None, 3)
    divided = features.divide(keras, model)
    assert divided is not None
    assert [type(layer).__name__ for layer in divided[1].layers[1:]] == ["Dropout", "Dense"]
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 80, 1)).astype(np.uint8)
    features.of(divided[0], images, photos.input_range)  # as a TFLite file gives what Keras does
    to_tf_keras(model, images=scale(images, photos.input_range))


@pytest.mark.slow
def test_efficientnet_normalizes_weights_of_a_file_as_those_it_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras adds a layer to EfficientNetB0 only where it fetches the weights itself."""
    keras = import_keras()
    made = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(64, 64, 3))
    normalization = next(layer for layer in made.layers if type(layer).__name__ == "Normalization")
    normalization.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(0)])
    path = tmp_path / "efficientnetb0.weights.h5"
    made.save_weights(path)
    monkeypatch.setattr("keras.src.applications.efficientnet.file_utils.get_file", lambda *_, **__: str(path))
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    stems = {}
    for source in ("imagenet", str(path)):
        base = Weights(source=source).of("EfficientNetB0").network(keras, (64, 64, 3))
        stems[source] = keras.Model(base.inputs[0], base.get_layer("stem_conv").output)(
            images, training=False
        )
    downloaded, read = (np.asarray(stem) for stem in stems.values())
    np.testing.assert_allclose(downloaded, read, atol=1e-5 * np.abs(read).max())
    normalization.finalize_state()
    plain = keras.Model(made.inputs[0], made.get_layer("stem_conv").output)(images, training=False)
    assert np.abs(plain - read).max() > 0.1 * np.abs(read).max()
