"""Anyone's model: what loads, what is found in it, and what is refused by the name of its layer."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export.network.model import Facts, Model
from edgewright.export.network.network import Network
from edgewright.export.work.convert import _refused
from edgewright.runtime import plugins
from edgewright.runtime.errors import ExportError
from edgewright.train.normalization import Normalization

UNIT, PIXELS = Normalization.of_range(0.0, 1.0), Normalization.of_range(0.0, 255.0)
SHAPE = (8, 8, 3)
Save = Callable[..., Path]


def sequential(keras: Any, *layers: Any, shape: tuple[int | None, ...] = SHAPE) -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input(shape), *layers])


def facts(path: Path, **how: Any) -> Facts:
    return Network(Model.at(path, how.pop("normalization", UNIT), **how)).facts()


def refusal(path: Path, **how: Any) -> str:
    with pytest.raises(ExportError) as refused:
        facts(path, **how)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""])
def test_load_keras_h5_and_saved_model_files_give_the_models_own_scores(
    keras: Any, save: Save, suffix: str
) -> None:
    layers = keras.layers
    model = sequential(
        keras, layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(5, activation="softmax", name="last")
    )
    path = save(model, suffix)
    network = Network(Model.at(path, UNIT))
    found = network.facts()
    assert (found.shape, found.classes, found.head) == (SHAPE, 5, "softmax")
    images = np.random.default_rng(0).integers(0, 256, (7, *SHAPE)).astype(np.uint8)
    expected = model(images.astype(np.float32) / 255, training=False)
    np.testing.assert_allclose(network.scores(images), expected, atol=1e-6)


def test_model_head_is_found_behind_layers_that_only_pass_it_on(keras: Any, save: Save) -> None:
    layers = keras.layers
    inner = sequential(keras, layers.Flatten(), layers.Dense(4), layers.Softmax())
    nested = sequential(keras, inner, layers.Dropout(0.5), layers.Activation("linear"), layers.Reshape((4,)))
    assert facts(save(nested)).head == "softmax"
    assert facts(save(sequential(keras, layers.Flatten(), layers.Dense(4)))).head == "logits"


def test_model_with_sigmoids_or_one_score_is_known_by_its_last_operator(keras: Any, save: Save) -> None:
    layers = keras.layers
    for units, activation, head in (
        (1, "sigmoid", "sigmoid"),
        (5, "sigmoid", "sigmoid"),
        (1, None, "sigmoid-logits"),
    ):
        last = layers.Dense(units, activation=activation, name="tags")
        found = facts(save(sequential(keras, layers.Flatten(), last)))
        assert (found.classes, found.head) == (units, head)


def test_model_without_a_row_of_scores_is_refused(keras: Any, save: Save) -> None:
    layers = keras.layers
    assert "got (1, 6, 6, 4) from 'map'" in refusal(save(sequential(keras, layers.Conv2D(4, 3, name="map"))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras says so too
        message = refusal(save(sequential(keras, layers.Flatten(), layers.Dense(1, "softmax", name="one"))))
    assert "at least two scores of a softmax" in message
    assert "'one'" in message


def test_model_with_several_inputs_or_outputs_is_refused_by_their_names(keras: Any, save: Save) -> None:
    layers = keras.layers
    one, two = (keras.Input(SHAPE, name=name) for name in ("left", "right"))
    flat = layers.Flatten()(layers.Add()([one, two]))
    message = refusal(save(keras.Model([one, two], layers.Dense(3)(flat))))
    assert "one input, got 2: 'left', 'right'" in message
    flat = layers.Flatten()(one)
    outputs = [layers.Dense(3, name=name)(flat) for name in ("kind", "age")]
    message = refusal(save(keras.Model(one, outputs)))
    assert "one output, got 2: 'age', 'kind'; say with --output NAME which one" in message


def test_model_output_is_chosen_by_its_layers_name_or_its_key(keras: Any, save: Save) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE)
    flat = layers.Flatten()(image)
    kind, age = layers.Dense(3, name="kind")(flat), layers.Dense(4, name="age")(flat)
    images = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype(np.uint8)
    for outputs, names in (([kind, age], ("kind", "age")), ({"z": kind, "a": age}, ("z", "a"))):
        model = keras.Model(image, outputs)
        expected = model(images / np.float32(255))
        expected = list(expected.values()) if isinstance(expected, dict) else expected
        for suffix in (".keras", ""):
            path = save(model, suffix)
            exported = names if isinstance(outputs, dict) else ("output_0", "output_1")
            found = names if suffix else exported
            for name, values in zip(found, expected, strict=True):
                network = Network(Model.at(path, UNIT, output=name))
                np.testing.assert_allclose(network.scores(images), values, atol=1e-5)
                assert network.facts().output == name
            message = refusal(path, output="sex")
            assert f"expected --output {' or '.join(sorted(found))}, got 'sex', which is none" in message


def test_model_outputs_of_one_layer_are_told_apart_by_their_place(keras: Any, save: Save) -> None:
    layers = keras.layers
    image, shared = keras.Input(SHAPE), layers.Dense(3, name="both")
    flat = layers.Flatten()(image)
    path = save(keras.Model(image, [shared(flat), shared(layers.ReLU()(flat - 0.5))]))
    assert "got 2: 'both:0', 'both:1'" in refusal(path)
    images = np.zeros((1, *SHAPE), np.uint8)
    one, other = (Network(Model.at(path, UNIT, output=f"both:{i}")).scores(images) for i in (0, 1))
    assert np.abs(one - other).max() >= 0
    assert facts(path, output="both:1").classes == 3


@pytest.mark.parametrize(
    ("shape", "says"), [((12,), "(None, 12)"), ((8, 8, 2), "(None, 8, 8, 2)"), ((4, 8, 8, 3), "(None, 4, 8")]
)
def test_model_input_that_is_no_image_is_refused(
    keras: Any, save: Save, shape: tuple[int, ...], says: str
) -> None:
    layers = keras.layers
    message = refusal(save(sequential(keras, layers.Flatten(), layers.Dense(3), shape=shape)))
    assert "expected an image input" in message
    assert says in message


def test_model_input_of_an_open_size_is_closed_by_the_size_flag_and_a_closed_one_stays(
    keras: Any, save: Save
) -> None:
    layers = keras.layers
    tail = (layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3))
    path = save(sequential(keras, *tail, shape=(None, None, 3)))
    assert "add --size such as 224x224" in refusal(path)
    assert facts(path, size=(10, 14)).shape == (10, 14, 3)
    path = save(sequential(keras, layers.Flatten(), layers.Dense(3)))
    assert "expected --size 8x8 or none" in refusal(path, size=(10, 14))
    assert facts(path, size=(8, 8)).shape == SHAPE


def test_model_input_of_integers_takes_pixels_as_they_are_and_no_other_scaling(
    keras: Any, save: Save
) -> None:
    layers = keras.layers
    model = sequential(keras, layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3))
    model = keras.Sequential([keras.Input(SHAPE, dtype="uint8", name="raw"), *model.layers])
    path = save(model)
    message = refusal(path)
    assert "expected --input-range 0..255 with input 'raw' of uint8" in message
    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.uint8)
    network = Network(Model.at(path, PIXELS))
    np.testing.assert_allclose(network.scores(images), model(images), atol=1e-6)
    ops = [op.type for op in network.on_scaled.get_concrete_function().graph.get_operations()]
    assert ops.count("Cast") == 0  # floats go through as they are: nothing to round in an 8-bit file
    signed = keras.Sequential([keras.Input(SHAPE, dtype="int8"), *model.layers])
    assert "float image input, got" in refusal(save(signed))


def test_model_that_computes_with_integers_is_given_integers(keras: Any, save: Save) -> None:
    image = keras.Input(SHAPE, dtype="int32")
    halves = keras.ops.floor_divide(image, 2)
    flat = keras.layers.Flatten()(keras.ops.cast(halves, "float32"))
    model = keras.Model(image, keras.layers.Dense(3)(flat))
    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.uint8)
    network = Network(Model.at(save(model), PIXELS))
    np.testing.assert_allclose(network.scores(images), model(images), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_unsafe_load_takes_a_lambda_layer_that_is_refused_by_name_otherwise(
    keras: Any, save: Save, suffix: str
) -> None:
    layers = keras.layers
    model = sequential(keras, layers.Lambda(lambda x: x * 2, name="twice"), layers.Flatten(), layers.Dense(3))
    path = save(model, suffix)
    message = refusal(path)
    assert "layer 'twice'" in message
    assert "--unsafe-load" in message
    assert facts(path, unsafe=True).classes == 3


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_custom_layer_without_its_code_is_refused_by_name_and_class(
    keras: Any, save: Save, suffix: str
) -> None:
    class Squash(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x / (1 + x)

    layers = keras.layers
    path = save(sequential(keras, Squash(name="mine"), layers.Flatten(), layers.Dense(3)), suffix)
    message = refusal(path)
    assert "layer 'mine'" in message
    assert "is a Squash, whose code Keras does not have" in message
    assert "SavedModel" in message


def test_custom_layer_exports_as_a_saved_model(keras: Any, save: Save) -> None:
    class Squash(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x / (1 + x)

    layers = keras.layers
    model = sequential(keras, Squash(), layers.Flatten(), layers.Dense(3, activation="softmax"))
    assert facts(save(model, "")).head == "softmax"


_KERAS_2 = """
import tf_keras, numpy as np
layers = tf_keras.layers
tf_keras.utils.set_random_seed(0)
image = layers.Input((8, 8, 3))
x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(image)))
scores = layers.Dense(4, activation="softmax")(layers.Flatten()(layers.ZeroPadding2D()(x)))
model = tf_keras.Model(image, scores)
folder = sys.argv[1]
model.save(folder + "/two.h5")
model.save(folder + "/two")
images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3))
np.save(folder + "/scores.npy", model((images / 255).astype("float32"), training=False))
tf_keras.Model(image, layers.Dense(3)(layers.Flatten()(image + 1.0))).save(folder + "/op.h5")
"""


@pytest.mark.slow
def test_keras_2_files_give_the_scores_they_gave_there(fresh: Callable[..., Any], tmp_path: Path) -> None:
    if not plugins.installed("tf_keras"):
        pytest.skip("tf_keras, which writes such files, is not installed")
    assert fresh(tmp_path, code=_KERAS_2, TF_CPP_MIN_LOG_LEVEL="3").returncode == 0
    images = np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype(np.uint8)
    expected = np.load(tmp_path / "scores.npy")
    assert np.ptp(expected, axis=0).max() > 0.01
    for name in ("two.h5", "two"):
        network = Network(Model.at(tmp_path / name, UNIT))
        assert network.facts().head == "softmax"
        np.testing.assert_allclose(network.scores(images), expected, atol=1e-5)
    assert "layer 'tf.__operators__.add'" in refusal(tmp_path / "op.h5")


def test_saved_model_file_that_is_damaged_gets_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"\xff\xff")
    assert "TensorFlow cannot load" in refusal(folder)


def test_saved_models_without_one_float_image_signature_are_refused(keras: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    def saved(name: str, function: Any, *specs: Any, signature: str = "serving_default") -> Path:
        module = tf.Module()
        module.function = tf.function(function, input_signature=specs)
        tf.saved_model.save(module, str(tmp_path / name), signatures={signature: module.function})
        return tmp_path / name

    image = tf.TensorSpec((None, *SHAPE), tf.float32, name="image")
    text = tf.TensorSpec((None,), tf.string, name="examples")
    four = tf.TensorSpec((4, *SHAPE), tf.float32, name="image")
    scores = tf.reduce_mean

    path = saved("other", lambda image: {"s": scores(image, (1, 2))}, image, signature="classify")
    assert "serving_default" in refusal(path)
    assert "got classify" in refusal(path)
    path = saved("text", lambda examples: {"s": tf.strings.to_number(examples)}, text)
    assert "float image input, got 'examples' of string" in refusal(path)
    path = saved("two", lambda image: {"a": scores(image, (1, 2)), "b": scores(image, (1, 2))}, image)
    assert "one output, got 2" in refusal(path)
    path = saved("four", lambda image: {"s": scores(image, (1, 2))}, four)
    assert "got one for 4" in refusal(path)

    def by_text(image: Any) -> Any:
        return {"s": tf.reshape(tf.strings.to_number(tf.strings.as_string(image)), (-1, 192))}

    message = refusal(saved("strings", by_text, image))
    assert "string op AsString" in message or "string op StringToNumber" in message


def test_saved_model_for_one_image_is_judged_one_by_one(keras: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.function = tf.function(
        lambda image: {"s": tf.reduce_mean(image, (1, 2))},
        input_signature=[tf.TensorSpec((1, *SHAPE), tf.float32, name="image")],
    )
    signatures = {"serving_default": module.function}
    tf.saved_model.save(module, str(tmp_path / "one"), signatures=signatures)
    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.uint8)
    network = Network(Model.at(tmp_path / "one", UNIT))
    np.testing.assert_allclose(network.scores(images), images.mean((1, 2)) / 255, atol=1e-5)
    assert (network.facts().input, network.facts().output) == ("image", "s")


def test_saved_model_in_training_mode_is_refused(keras: Any, save: Save) -> None:
    """Keras' own export of a network with a preprocessing layer: silently wrong, were it taken."""
    layers = keras.layers

    def tail() -> tuple[Any, ...]:
        return layers.BatchNormalization(), layers.Flatten(), layers.Dense(3)

    message = refusal(save(sequential(keras, layers.Resizing(6, 6), *tail()), ""))
    assert "training mode: Assign" in message
    assert "batch_normalization" in message
    message = refusal(save(sequential(keras, layers.RandomTranslation(0.1, 0.1), *tail()[1:]), ""))
    assert "training mode" in message
    assert "random_translation" in message


def test_tensorflow_op_no_file_can_hold_is_refused_with_its_layer(keras: Any, save: Save) -> None:
    layers = keras.layers
    image = keras.Input(SHAPE)
    bent = layers.Lambda(lambda x: __import__("keras").ops.tan(x), name="bent")(layers.Flatten()(image))
    path = save(keras.Model(image, layers.Dense(3)(bent)))
    network = Network(Model.at(path, UNIT, unsafe=True))
    refused = _refused(network, ["onnx", "tflite"], lambda event: None)
    assert refused == {"tflite": "no such op: Tan in layer 'bent' (it would need TF select ops, Flex)"}


def test_tensorflow_op_that_onnx_lacks_is_refused_by_its_name(keras: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.function = tf.function(
        lambda image: {"s": tf.math.lgamma(tf.reduce_mean(image, (1, 2)))},
        input_signature=[tf.TensorSpec((None, *SHAPE), tf.float32, name="image")],
    )
    tf.saved_model.save(module, str(tmp_path / "odd"), signatures={"serving_default": module.function})
    network = Network(Model.at(tmp_path / "odd", UNIT))
    assert "Lgamma" in _refused(network, ["onnx"], lambda event: None)["onnx"]


def test_normalization_layers_mean_outside_of_variables_is_no_input_of_an_onnx_file(
    keras: Any, save: Save, tmp_path: Path
) -> None:
    """tf2onnx would ask the user for the mean of a Normalization layer, as in EfficientNet."""
    from edgewright.export import formats
    from edgewright.runtime import backends

    layers = keras.layers
    normalized = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3])
    network = Network(Model.at(save(sequential(keras, normalized, layers.Flatten(), layers.Dense(3))), UNIT))
    images = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype(np.uint8)
    for name in ("onnx", "tflite"):
        path = tmp_path / f"net{formats.get(name).suffix}"
        formats.get(name).export(network, "float32", images, path)
        backend = backends.for_path(path)
        found = backend.open(backend.read(path), threads=1).run(images[:1])
        np.testing.assert_allclose(found, network.scores(images)[:1], atol=1e-4)


@pytest.mark.parametrize("ends", ["statistics", "bgr"])
def test_normalization_that_one_scale_cannot_say_is_in_the_graph(keras: Any, save: Save, ends: str) -> None:
    """The int8 path (pixels, then a 1x1 convolution) and the float path say the same."""
    layers = keras.layers
    statistics = Normalization.of_statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), bgr=ends == "bgr")
    normalization = statistics if ends == "statistics" else Normalization.of_range(-1, 1, bgr=True)
    model = sequential(keras, layers.Conv2D(4, 3, padding="same"), layers.Flatten(), layers.Dense(5))
    network = Network(Model.at(save(model), normalization))
    assert network.input_range == (0.0, 255.0)
    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.uint8)
    expected = network.scores(images)
    for i in range(3):
        one = images[i : i + 1]
        np.testing.assert_allclose(network.on_pixels(one)["scores"][0], expected[i], atol=1e-4)
        np.testing.assert_allclose(
            network.on_scaled(network.scaled(one))["scores"][0], expected[i], atol=1e-4
        )


def test_normalization_statistics_stay_integer_in_an_int8_file(
    keras: Any, save: Save, tmp_path: Path
) -> None:
    from edgewright.export import formats
    from edgewright.export.formats.tflite import tree as tflite_tree

    layers = keras.layers
    statistics = Normalization.of_statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), bgr=True)
    model = sequential(keras, layers.Conv2D(4, 3, padding="same"), layers.Flatten(), layers.Dense(5))
    images = np.random.default_rng(0).integers(0, 256, (20, *SHAPE)).astype(np.uint8)
    path = tmp_path / "net.tflite"
    formats.get("tflite").export(Network(Model.at(save(model), statistics)), "int8", images, path)
    tree = tflite_tree.read(path.read_bytes())
    names = [op.name for op in tflite_tree.operators(tree)]
    assert names[:3] == ["QUANTIZE", "CONV_2D", "CONV_2D"]
    assert names.count("QUANTIZE") == 2
    assert tflite_tree.quantization(tree, tree.subgraphs[0].inputs[0]) == (1.0, 0)


def test_normalization_statistics_must_fit_the_channels(keras: Any, save: Save) -> None:
    layers = keras.layers
    path = save(sequential(keras, layers.Flatten(), layers.Dense(3), shape=(8, 8, 1)))
    statistics = Normalization.of_statistics((0.1, 0.2, 0.3), (0.5,))
    assert "one for each of 1 channels, got 3" in refusal(path, normalization=statistics)
    bgr = Normalization.of_range(0, 1, bgr=True)
    assert "--bgr with a network of three channels" in refusal(path, normalization=bgr)


@pytest.mark.slow
def test_model_of_a_thousand_layers_loads(keras: Any, save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    try:
        image = x = keras.Input((2, 2, 1))
        for _ in range(1000):
            x = keras.layers.ReLU()(x)
        x = keras.layers.Dense(2)(keras.layers.Flatten()(x))
        assert facts(save(keras.Model(image, x))).classes == 2
    finally:
        sys.setrecursionlimit(limit)
