"""Every scheme on every kind of network: the Keras model's scores, any batch and dtype, the same bytes."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export import variants
from edgewright.export.network.model import FileInterface
from edgewright.export.network.network import Network
from edgewright.export.weights import rounding
from edgewright.runtime import backends, load
from edgewright.runtime.errors import InputError
from edgewright.train import recipe
from edgewright.train.datasets import Dataset, Images

MakeCheckpoint = Callable[..., Path]
NetworkOf = Callable[..., Network]
Convert = Callable[..., dict[str, Path]]
Score = Callable[[Path, Images], NDArray[np.float32]]
Fresh = Callable[..., "subprocess.CompletedProcess[str]"]

ALL = list(variants.known())
EXACT = ("tflite-float32", "onnx-float32")
ASIDE = [name for name, variant in variants.known().items() if not variant.settings.default]


def mlp(keras: Any, shape: tuple[int, ...]) -> Any:
    layers = keras.layers
    hidden = [layers.Flatten(), layers.Dense(48, activation="relu"), layers.Dropout(0.3)]
    return keras.Sequential([keras.Input(shape), *hidden, layers.Dense(10, activation="softmax")])


def mobile(keras: Any, shape: tuple[int, ...]) -> Any:
    """Two inverted residuals as MobileNetV2 has them."""
    layers = keras.layers

    def normal(x: Any) -> Any:
        return layers.BatchNormalization()(x)

    def inverted(x: Any, filters: int, strides: int) -> Any:
        y = layers.ReLU(6.0)(normal(layers.Conv2D(3 * x.shape[-1], 1, use_bias=False)(x)))
        y = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(y)
        y = normal(layers.Conv2D(filters, 1, use_bias=False)(layers.ReLU(6.0)(normal(y))))
        return layers.Add()([x, y]) if strides == 1 else y

    image = keras.Input(shape)
    x = layers.ReLU(6.0)(normal(layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)))
    x = layers.GlobalAveragePooling2D()(inverted(inverted(x, 8, 1), 12, 2))
    return keras.Model(image, layers.Dense(10, activation="softmax")(x))


def resizing(keras: Any, shape: tuple[int, ...]) -> Any:
    """Everything in front that Keras leaves in training mode unless it is told."""
    layers = keras.layers
    front = [
        layers.RandomFlip(),
        layers.RandomRotation(0.2),
        layers.Resizing(20, 20),
        layers.RandomContrast(0.3),
    ]
    conv = [layers.Rescaling(2.0, -1.0), layers.Conv2D(6, 3), layers.BatchNormalization(), layers.ReLU()]
    head = [layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10, activation="softmax")]
    return keras.Sequential([keras.Input(shape), *front, *conv, *head])


def resnet8(keras: Any, shape: tuple[int, ...]) -> Any:
    return recipe.get("cifar10-resnet8").build(keras, (16, 16, 3), 10)


@pytest.fixture
def made(
    keras: Any, colour: Dataset, make_checkpoint: MakeCheckpoint
) -> Callable[..., tuple[Path, Images, Images]]:
    """A checkpoint of the network with weights as a trained one may have, and images: training, test."""

    def make(build: Any, ends: tuple[float, float] = (0.0, 1.0)) -> tuple[Path, Images, Images]:
        keras.utils.set_random_seed(3)
        random = np.random.default_rng(3)
        model = build(keras, colour.x_train.shape[1:])
        for variable in model.variables:
            if variable.path.endswith("moving_variance"):
                variable.assign(random.uniform(0.02, 0.1, variable.shape))
            elif variable.path.endswith(("bias", "beta", "moving_mean")):
                variable.assign(random.normal(0, 0.2, variable.shape))
        low, high = ends
        dataset = colour
        if model.input_shape[1:] != colour.x_train.shape[1:]:
            border = ((0, 0), (1, 1), (1, 1), (0, 0))
            pair = {key: np.pad(getattr(colour, key), border) for key in ("x_train", "x_test")}
            dataset = Dataset(
                name="padded",
                source="padded.npz",
                labels=colour.labels,
                y_train=colour.y_train,
                y_test=colour.y_test,
                **pair,
            )
        kernel, bias = model.layers[-1].get_weights()  # logits that differ by a few, as trained ones do
        features = keras.Model(model.inputs[0], model.layers[-1].input)
        logits = features(dataset.x_train[:50] / 255 * (high - low) + low, training=False).numpy() @ kernel
        model.layers[-1].set_weights([kernel * 2 / logits.std(), bias])
        return make_checkpoint(model, dataset, input_range=ends), dataset.x_train[:50], dataset.x_test[:50]

    return make


slow = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "ends"),
    [
        (mobile, (-1.0, 1.0)),
        pytest.param(resizing, (0.0, 1.0), marks=slow),
        pytest.param(mlp, (0.0, 1.0), marks=[slow, pytest.mark.long]),
        pytest.param(resnet8, (0.0, 1.0), marks=[slow, pytest.mark.long]),
    ],
)
def test_schemes_all_give_the_keras_models_scores(
    build: Any,
    ends: tuple[float, float],
    made: Any,
    network_of: NetworkOf,
    convert: Convert,
    score: Score,
) -> None:
    folder, calibration, images = made(build, ends)
    reference = network_of(folder).scores(images)
    assert np.ptp(reference, axis=0).max() > 0.2  # or all of this would prove nothing
    for name, path in convert(folder, calibration, ALL).items():
        error = np.abs(score(path, images) - reference)
        assert error.max() < (1e-5 if name in EXACT else 0.6 if "int4" in name else 0.15), name
        assert error.mean() < (0.06 if "int4" in name else 0.015), name


@pytest.mark.slow
@pytest.mark.long
def test_schemes_give_the_same_bytes_in_this_and_in_a_fresh_process(
    made: Any, convert: Convert, fresh: Fresh, tmp_path: Path
) -> None:
    folder, calibration, _ = made(mobile, (-1.0, 1.0))

    def hashes() -> list[str]:
        paths = convert(folder, calibration, ASIDE).values()
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]

    convert(
        folder, calibration, ["tflite-float32", "onnx-float32"]
    )  # the fresh process has converted nothing
    first = hashes()
    np.save(tmp_path / "calibration.npy", calibration)
    code = """
import hashlib
from pathlib import Path
import numpy as np
from edgewright.export import formats, variants
from edgewright.export.network.model import Model
from edgewright.export.network.network import Network
from edgewright.export.weights import rounding
from edgewright.runtime.contract import ModelContract
from edgewright.train.checkpoint import Checkpoint
from edgewright.train.normalization import Normalization

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
opened = Checkpoint.open(folder)
network = Network(Model.at(folder / "model.keras", Normalization.of_range(*opened.input_range)))
calibration = np.load(out / "calibration.npy")
for variant in variants.parse(sys.argv[3]):
    format, path = formats.get(variant.format), out / variant.file
    format.export(network, variant.scheme, calibration, path)
    format.attach(path, ModelContract(
        name=opened.recipe, variant=variant.name, input=opened.input, labels=opened.labels, head=opened.head
    ))
    print("sha256", hashlib.sha256(path.read_bytes()).hexdigest())
"""
    done = fresh(folder, tmp_path, ",".join(ASIDE), code=code, PYTHONHASHSEED="77")
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("sha256")] == first


INTERFACES = [
    FileInterface(batch=3),
    FileInterface(dtype="float32"),
    FileInterface(batch=None, dtype="float32"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("tflite-int8", "onnx-int8"),
        *(pytest.param(name, marks=pytest.mark.long) for name in ("tflite-dynamic-int8", "onnx-float16")),
    ],
)
def test_file_interface_of_another_batch_or_dtype_gives_the_same_scores(
    name: str, made: Any, convert: Convert, score: Score
) -> None:
    folder, calibration, images = made(resizing)
    images = images[:7]
    expected = score(convert(folder, calibration, [name])[name], images)
    for interface in INTERFACES:
        path = convert(folder, calibration, [name], interface)[name]
        backend = backends.for_path(path)
        file = backend.read(path)
        size = interface.batch or -1
        assert (file.inputs[0].shape, file.inputs[0].dtype) == ((size, 14, 14, 3), interface.dtype)
        assert file.outputs[0].shape == (size, 10)
        if interface.dtype == "float32":
            assert file.outputs[0].dtype == "float32"
        session = backend.open(file, threads=1)
        tolerance = 2.01 / 256 if "int8" in name else 2e-3
        for found in (session.run(images), score(path, images), session.run(images[:2].copy())):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected[: len(found)], atol=tolerance, err_msg=str(interface))
        with load(path) as predictor:
            assert predictor.predict(images[0], k=1)[0].probability > 0
        for wrong in (images[0], images[:, :13], images[:0], images.astype(np.float64)):
            with pytest.raises(InputError, match=r"expected uint8 pixels of shape \(-1, 14, 14, 3\), got"):
                session.run(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tflite-int16x8", "tflite-weight-int4", "onnx-float32"])
def test_file_interface_of_a_free_batch_is_taken_by_other_schemes_too(
    name: str, made: Any, convert: Convert, score: Score
) -> None:
    folder, calibration, images = made(mlp)
    expected = score(convert(folder, calibration, [name])[name], images)
    path = convert(folder, calibration, [name], FileInterface(batch=None))[name]
    backend = backends.for_path(path)
    session = backend.open(backend.read(path), threads=1)
    for count in (1, 5, 50, 5):
        np.testing.assert_allclose(session.run(images[:count]), expected[:count], atol=1e-5)


def test_schemes_of_4_bits_hold_weights_that_are_on_a_grid_as_they_are(
    keras: Any,
    build_conv: Callable[..., Any],
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
    network_of: NetworkOf,
    convert: Convert,
    score: Score,
) -> None:
    model = build_conv()  # with a BatchNormalization, which files fold into the convolution
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            kernel, *rest = layer.get_weights()
            scales = np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0) / 7 * random.uniform(0.5, 1)
            layer.set_weights([np.clip(np.rint(kernel / scales), -7, 7) * scales, *rest])
    folder = make_checkpoint(model, colour, input_range=(-1.0, 1.0))
    images = colour.x_test[:40]
    reference = network_of(folder).scores(images)
    names = ["tflite-weight-int4", "onnx-weight-int4", "tflite-float32"]
    paths = convert(folder, colour.x_train[:40], names)
    for name in names[:2]:
        np.testing.assert_allclose(score(paths[name], images), reference, atol=2e-4, err_msg=name)
        assert paths[name].stat().st_size < 0.25 * paths[names[2]].stat().st_size


@pytest.mark.slow
def test_schemes_of_4_bits_are_closer_than_the_nearest_weights(
    colour: Dataset,
    build_conv: Callable[..., Any],
    make_checkpoint: MakeCheckpoint,
    network_of: NetworkOf,
    convert: Convert,
    score: Score,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_checkpoint(build_conv(), colour, input_range=(-1.0, 1.0))
    images = colour.x_test[:100]
    reference = network_of(folder).scores(images)
    names = ["tflite-weight-int4", "onnx-weight-int4"]

    def errors() -> list[float]:
        paths = convert(folder, colour.x_train[:200], names)
        return [float(np.square(score(path, images) - reference).mean()) for path in paths.values()]

    ours = errors()
    monkeypatch.setattr(
        rounding, "rounded", lambda weights, moments, bits, **_: rounding.nearest(weights, bits)
    )
    assert all(mine < 0.6 * plain for mine, plain in zip(ours, errors(), strict=True))
