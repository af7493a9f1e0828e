"""What a Keras file is that Keras cannot open, and a user's own code that it needs."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export.network.model import Model
from edgewright.export.network.network import Network
from edgewright.runtime.errors import ExportError, InputError
from edgewright.train.normalization import Normalization

UNIT = Normalization.of_range(0.0, 1.0)
SHAPE = (8, 8, 3)
Save = Callable[..., Path]

CODE = '''
import keras

@keras.saving.register_keras_serializable()
class Squash(keras.layers.Layer):
    def call(self, x):
        return x / (1 + x)

class Plain(keras.layers.Layer):
    """Not registered."""
    def call(self, x):
        return x * 2

def swishy(x):
    return x * keras.ops.sigmoid(3 * x)

@keras.saving.register_keras_serializable()
class Net(keras.Model):
    def __init__(self, classes=4, **more):
        super().__init__(**more)
        self.classes = classes
        self.conv, self.flat = keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()
        self.last = keras.layers.Dense(classes)

    def call(self, x):
        return self.last(self.flat(self.conv(x)))

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}

@keras.saving.register_keras_serializable()
class Two(Net):
    def call(self, x, training=False):
        scores = super().call(x)
        return {"logits": scores, "doubled": 2 * scores}
'''


def refusal(path: Path, **how: Any) -> str:
    with pytest.raises(ExportError) as refused:
        Network(Model.at(path, UNIT, **how)).facts()
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "mylayers.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def mine(code: Path, keras: Any) -> Any:
    """What the user's file defines, forgotten by Keras once a model is saved: the child does not have it."""
    known = dict(keras.saving.get_custom_objects())
    names: dict[str, Any] = {"__name__": "mylayers"}
    exec(compile(CODE, str(code), "exec"), names)
    yield names
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(known)


def forget(keras: Any) -> None:
    keras.saving.get_custom_objects().clear()


@pytest.mark.parametrize("kind", ["Squash", "Plain", "swishy"])
def test_layer_of_a_users_own_loads_with_code_and_is_named_without(
    keras: Any, save: Save, code: Path, mine: Any, kind: str
) -> None:
    layers = keras.layers
    own = layers.Activation(mine[kind]) if kind == "swishy" else mine[kind](name="own")
    model = keras.Sequential([keras.Input(SHAPE), own, layers.Flatten(), layers.Dense(3)])
    images = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype(np.uint8)
    expected = model(images / np.float32(255))
    path = save(model)
    forget(keras)
    message = refusal(path)
    assert kind in message
    assert "--code FILE, the Python file that defines it" in message
    if kind != "swishy":
        assert f"layer 'own' of {path} is a {kind}, whose code Keras does not have" in message
        assert "SavedModel" in message
    np.testing.assert_allclose(Network(Model.at(path, UNIT, code=code)).scores(images), expected, atol=1e-5)


def test_layer_without_a_name_is_named_by_its_class_alone(keras: Any, save: Save, mine: Any) -> None:
    class Nameless(mine["Squash"]):  # type: ignore[misc]
        def get_config(self) -> dict[str, Any]:
            return {}

    model = keras.Sequential([keras.Input(SHAPE), Nameless(), keras.layers.Flatten()])
    path = save(model)
    forget(keras)
    message = refusal(path)
    assert f"{path} holds a Nameless, whose code" in message
    assert "None" not in message


def test_subclassed_model_is_called_on_an_image_of_the_size_it_was_built_for(
    keras: Any, save: Save, code: Path, mine: Any
) -> None:
    keras.utils.set_random_seed(0)
    model = mine["Net"]()
    images = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype(np.uint8)
    expected = model(images / np.float32(255))
    path = save(model)
    two = mine["Two"]()
    two(keras.Input((None, None, 3)))
    open_size = save(two, "-two.keras")
    forget(keras)
    assert "Net, whose code Keras does not have" in refusal(path)
    network = Network(Model.at(path, UNIT, code=code))
    assert (network.facts().shape, network.facts().classes) == (SHAPE, 4)
    np.testing.assert_allclose(network.scores(images), expected, atol=1e-5)
    assert "add --size such as 224x224" in refusal(open_size, code=code, output="logits")
    message = refusal(open_size, code=code, size=(8, 8))
    assert "got 2: 'doubled', 'logits'; say with --output" in message
    scores = {}
    for name in ("logits", "doubled"):
        chosen = Network(Model.at(open_size, UNIT, code=code, size=(8, 8), output=name))
        scores[name] = chosen.scores(images)
    np.testing.assert_allclose(scores["doubled"], 2 * scores["logits"], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import keras\nthis is no Python", ":2 cannot be imported: SyntaxError"),
        ("x = 1\n1 / 0", ":2 cannot be imported: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)", ":2 cannot be imported: SystemExit"),
        ("import myother", "to import installed packages only, got 'myother', which is none"),
    ],
)
def test_code_that_cannot_be_imported_is_told_with_its_line(
    keras: Any, save: Save, tmp_path: Path, text: str, says: str
) -> None:
    path = save(keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)]))
    (tmp_path / "own.py").write_text(text)
    (tmp_path / "myother.py").write_text("")
    assert says in refusal(path, code=tmp_path / "own.py")
    with pytest.raises(InputError, match=r"expected --code to be a Python file .*which does not exist"):
        Model.at(path, UNIT, code=tmp_path / "none.py")


def test_code_that_changed_meanwhile_is_told(keras: Any, save: Save, code: Path) -> None:
    path = save(keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)]))
    model = Model.at(path, UNIT, code=code)
    code.write_text(CODE + "\n")
    with pytest.raises(ExportError, match=r"mylayers\.py is not the file it was"):
        Network(model)
    assert Model.at(path, UNIT, code=code).code_sha256 != model.code_sha256


def test_weights_alone_are_told_apart_from_a_model(keras: Any, tmp_path: Path) -> None:
    import h5py

    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)])
    model.save_weights(tmp_path / "net.weights.h5")
    with h5py.File(tmp_path / "keras2.h5", "w") as file:  # as tf_keras' save_weights writes it
        file.attrs["layer_names"] = [b"dense"]
        file.create_group("dense")
    for name in ("net.weights.h5", "keras2.h5"):
        message = refusal(tmp_path / name)
        assert "expected a whole model" in message
        assert "holds weights only" in message
        assert "model.load_weights(FILE) and model.save('model.keras')" in message
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = np.zeros(3)
    assert "an HDF5 file that holds none" in refusal(tmp_path / "data.h5")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_truncated_model_is_called_truncated_wherever_it_was_cut(keras: Any, save: Save, suffix: str) -> None:
    path = save(keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(9)]), suffix)
    whole = path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        path.write_bytes(whole[: int(len(whole) * share)])
        assert "truncated; copy or download it again" in refusal(path), share
    path.write_bytes(b"")
    assert "which is empty" in refusal(path)


def test_archive_with_members_missing_or_cut_off_is_told(keras: Any, save: Save) -> None:
    path = save(keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(9)]))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def write(**changed: bytes | None) -> None:
        kept = {**members, **{name.replace("__", "."): data for name, data in changed.items()}}
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in kept.items():
                if data is not None:
                    archive.writestr(name, data)

    write(config__json=None)
    assert "without config.json" in refusal(path)
    write(model__weights__h5=None)
    assert "without model.weights.h5" in refusal(path)
    write(model__weights__h5=members["model.weights.h5"][:3000])
    assert "truncated" in refusal(path)


def test_file_that_is_another_than_its_name_says_is_told(keras: Any, save: Save, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)])
    archive, hdf5 = save(model), save(model, ".h5")
    wrong = tmp_path / "wrong.keras"
    wrong.write_bytes(hdf5.read_bytes())
    assert "an HDF5 file; rename it .h5" in refusal(wrong)
    hdf5.write_bytes(archive.read_bytes())
    assert "a zip archive; rename it .keras" in refusal(hdf5)
    wrong.write_bytes(b"<!DOCTYPE html> not found")
    assert "expected a zip archive, as .keras files are" in refusal(wrong)
    hdf5.write_bytes(b"PK nothing")
    assert "expected an HDF5 file" in refusal(hdf5)
    wrong.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refusal(wrong)
    folder = tmp_path / "unpacked.keras"
    with zipfile.ZipFile(archive) as whole:
        whole.extractall(folder)
    with pytest.raises(InputError, match=r"the folder of an unpacked \.keras file; zip what is in it"):
        Model.at(folder, UNIT)
