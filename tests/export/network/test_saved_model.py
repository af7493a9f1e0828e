"""SavedModels that act: what is refused before anything is loaded, and that ordinary ones are not."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.export.network import saved_model
from edgewright.export.network.model import Facts, Model
from edgewright.export.network.network import Network
from edgewright.runtime.errors import ExportError
from edgewright.train.normalization import Normalization

SHAPE = (8, 8, 3)
Save = Callable[..., Path]


def facts(path: Path, **how: Any) -> Facts:
    return Network(Model.at(path, Normalization.of_range(0.0, 1.0), **how)).facts()


def refusal(path: Path) -> str:
    with pytest.raises(ExportError) as refused:
        facts(path)
    assert "\n" not in str(refused.value)
    assert "--unsafe-load" in str(refused.value)
    return str(refused.value)


@pytest.fixture
def saved(keras: Any, tmp_path: Path) -> Save:
    """Save a network of means, whose function runs `act` first, with more that its module holds."""
    import tensorflow as tf

    def call(act: Callable[[], Any] | None = None, **held: Any) -> Path:
        module = tf.Module()
        for name, value in held.items():
            setattr(module, name, value)

        def means(image: Any) -> Any:
            with tf.control_dependencies([act()] if act else []):
                return {"s": tf.identity(tf.reduce_mean(image, (1, 2)))}

        module.function = tf.function(means, [tf.TensorSpec((None, *SHAPE), tf.float32, name="image")])
        folder = tmp_path / "saved"
        tf.saved_model.save(module, str(folder), signatures={"serving_default": module.function})
        return folder

    return call


def edited(folder: Path, edit: Callable[[Any], Any]) -> Path:
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    edit(proto.meta_graphs[0])
    path.write_bytes(proto.SerializeToString())
    return folder


def test_operator_that_writes_is_refused_before_it_runs_and_named_once_let_through(
    saved: Save, tmp_path: Path
) -> None:
    """In an initializer, which TensorFlow runs while it loads the file."""
    import tensorflow as tf

    owned = tmp_path / "owned"

    class Writer(tf.lookup.KeyValueTensorInitializer):  # type: ignore[misc]
        def initialize(self, table: Any) -> Any:
            with tf.control_dependencies([tf.io.write_file(str(owned), "x")]):
                return super().initialize(table)

    table = tf.lookup.StaticHashTable(Writer([0], [0], tf.int64, tf.int64), 0)
    folder = saved(lambda: table.lookup(tf.constant(0, tf.int64)), table=table)
    owned.unlink()  # making the table has run it
    assert "got WriteFile (function __inference" in refusal(folder)
    assert not owned.exists()
    found = facts(folder, unsafe=True)
    assert owned.exists()
    assert any("WriteFile" in operator for operator in found.lets_through)
    assert Facts.from_json(json_object(found)).lets_through == found.lets_through


def json_object(found: Facts) -> Any:
    from edgewright.runtime.disk import jsonio

    return jsonio.parse(jsonio.dump(found.to_json()), "facts", ExportError)


def _reads(tf: Any) -> Any:
    return tf.io.read_file("/etc/hostname")


def _calls_python(tf: Any) -> Any:
    return tf.numpy_function(lambda: 1, [], tf.int64)


def _prints_to_a_file(tf: Any) -> Any:
    return tf.print("x", output_stream="file:///tmp/x")


def _nested(tf: Any) -> Any:
    inner = tf.function(lambda: tf.raw_ops.MatchingFiles(pattern="/*"))
    return tf.cond(tf.random.uniform(()) < 2, lambda: tf.size(inner()), lambda: 0)


def _saves(tf: Any) -> Any:
    return tf.raw_ops.SaveV2(
        prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], tensors=[tf.zeros(1)]
    )


@pytest.mark.parametrize(
    ("act", "operator"),
    [
        (_reads, "ReadFile"),
        (_calls_python, "PyFunc"),
        (_prints_to_a_file, "PrintV2"),
        (_nested, "MatchingFiles"),
        (_saves, "SaveV2"),
    ],
)
def test_operator_in_a_function_is_refused_by_name(saved: Save, act: Any, operator: str) -> None:
    import tensorflow as tf

    assert f"{operator} (function " in refusal(saved(lambda: act(tf)))


def test_operator_in_the_main_graph_or_that_a_function_is_named_after_is_refused(saved: Save) -> None:
    folder = saved()

    def main(meta: Any) -> None:
        meta.graph_def.node.add(name="read", op="ReadFile")

    def shadow(meta: Any) -> None:
        del meta.graph_def.node[-1]
        meta.graph_def.library.function[0].node_def.add(name="write", op="WriteFile")
        meta.graph_def.library.function.add().signature.name = "WriteFile"

    assert "ReadFile (main graph)" in refusal(edited(folder, main))
    assert "WriteFile (function " in refusal(edited(folder, shadow))


def test_file_of_tensorflow_1_passes_unless_what_it_runs_writes(keras: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        image = v1.placeholder(tf.float32, (None, *SHAPE), "image")
        scores = tf.reshape(image, (-1, 192)) @ v1.get_variable("w", (192, 3))
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(tmp_path / "v1"), {"image": image}, {"scores": scores})
    assert saved_model.lets_through(tmp_path / "v1") == ()

    def first(meta: Any) -> None:  # its save is what is run first
        meta.collection_def["saved_model_main_op"].node_list.value.append(meta.saver_def.save_tensor_name)

    assert "SaveV2 (main graph)" in refusal(edited(tmp_path / "v1", first))


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "gs://bucket/x", "a/../../x"])
def test_asset_outside_of_its_folder_is_refused(saved: Save, name: str) -> None:
    def asset(meta: Any) -> None:
        meta.asset_file_def.add().filename = name

    assert f"asset '{name}' outside" in refusal(edited(saved(), asset))


def test_link_out_of_the_folder_and_a_fifo_in_it_are_refused(saved: Save, tmp_path: Path) -> None:
    folder = saved()
    (folder / "here.pb").symlink_to(folder / "saved_model.pb")
    assert saved_model.lets_through(folder) == ()
    (tmp_path / "elsewhere").mkdir()
    (folder / "assets" / "there").symlink_to(tmp_path / "elsewhere")
    assert "link 'assets/there' out of its folder" in refusal(folder)
    (folder / "assets" / "there").unlink()
    os.mkfifo(folder / "assets" / "pipe")
    assert "'assets/pipe', which is no file" in refusal(folder)


@pytest.mark.slow
def test_networks_that_only_compute_pass(keras: Any, tmp_path: Path) -> None:
    """Resizing, augmentation with its random numbers, BatchNormalization and a table of strings."""
    import tensorflow as tf

    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            *(
                layers.Resizing(8, 8),
                layers.Rescaling(1 / 255),
                layers.RandomFlip(),
                layers.RandomRotation(0.1),
            ),
            *(layers.RandomZoom(0.1), layers.RandomContrast(0.2), layers.SeparableConv2D(4, 3)),
            *(layers.BatchNormalization(), layers.Dropout(0.5), layers.GlobalAveragePooling2D()),
            layers.Dense(3, activation="softmax"),
        ]
    )
    words = layers.StringLookup(vocabulary=["a", "b"])
    words.build((None,))
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.track(words)
    specs = [tf.TensorSpec((None, 12, 12, 3), tf.float32)]
    archive.add_endpoint("serving_default", lambda x: network(x, training=False), specs)
    archive.add_endpoint("training", lambda x: network(x, training=True), specs)
    archive.add_endpoint("words", lambda x: words(x), [tf.TensorSpec((None,), tf.string)])
    archive.write_out(tmp_path / "net", verbose=False)
    assert saved_model.lets_through(tmp_path / "net") == ()
    assert facts(tmp_path / "net").classes == 3


def test_list_holds_operators_of_tensorflow_alone_and_none_that_touches_a_file(keras: Any) -> None:
    from tensorflow.python.framework import op_def_registry

    from edgewright.export.network.computing import CHECKPOINT, COMPUTING

    known = {name: op_def_registry.get(name) for name in COMPUTING | CHECKPOINT}
    assert [name for name, definition in known.items() if definition is None] == []
    files = ("file", "path", "prefix", "directory", "address", "descriptor")
    told = {name: [word.name for word in (*known[name].input_arg, *known[name].attr)] for name in COMPUTING}
    assert [n for n, words in told.items() if any(file in word for word in words for file in files)] == []


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_file_that_opens_a_saved_model_is_refused_by_its_layer(
    keras: Any, saved: Save, save: Save, suffix: str
) -> None:
    layer = keras.layers.TFSMLayer(str(saved()), call_endpoint="serving_default", name="inner")
    path = save(keras.Sequential([keras.Input(SHAPE), layer]), suffix)
    message = refusal(path)
    assert "layer 'inner'" in message
    assert "is a TFSMLayer: loading it would open a SavedModel" in message


def test_keras_file_is_judged_by_what_keras_reads_not_by_a_zip_behind_it(
    keras: Any, saved: Save, save: Save
) -> None:
    layer = keras.layers.TFSMLayer(str(saved()), call_endpoint="serving_default", name="inner")
    path = save(keras.Sequential([keras.Input(SHAPE), layer]), ".h5")
    behind = io.BytesIO()
    with zipfile.ZipFile(behind, "w") as archive:
        archive.writestr("config.json", "{}")
    with path.open("ab") as file:
        file.write(behind.getvalue())
    assert "is a TFSMLayer: loading it would open a SavedModel" in refusal(path)


@pytest.mark.parametrize("name", ["layers.TFSMLayer", "keras>TFSMLayer", "TFSMLayer"])
def test_keras_layer_that_opens_a_saved_model_is_known_by_any_of_its_names(
    save: Save, keras: Any, name: str
) -> None:
    path = save(keras.Sequential([keras.Input(SHAPE), keras.layers.ReLU(name="inner")]), ".keras")
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members["config.json"] = members["config.json"].replace(
        b'"class_name": "ReLU"', f'"class_name": "{name}"'.encode()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for member, raw in members.items():
            archive.writestr(member, raw)
    assert "loading it would open a SavedModel" in refusal(path)


def test_keras_file_with_a_configuration_that_would_fill_the_memory_is_refused(
    save: Save, keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgewright.export.network.keras_model import file

    path = save(keras.Sequential([keras.Input(SHAPE), keras.layers.ReLU()]), ".keras")
    monkeypatch.setattr(file, "_MOST_CONFIG", 100)
    with pytest.raises(ExportError, match=r"expected at most 100 bytes of config\.json"):
        facts(path)
