"""Bias correction: what is off in the mean is taken out, and nothing else in the file changes."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export.formats import Context
from edgewright.export.formats.tflite import run as tflite_run
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.refine import biases
from edgewright.train.datasets import Images

Files = tuple[bytes, bytes]


@pytest.fixture(scope="module")
def images() -> Images:
    """Blobs on plain black."""
    random = np.random.default_rng(0)
    found = np.zeros((48, 16, 16, 3), np.uint8)
    for image in found:
        y, x = random.integers(1, 9, 2)
        image[y : y + 6, x : x + 6] = random.integers(60, 255, (6, 6, 3))
    return found


def files(keras: Any, images: Images, batch: int = 1, *, dense: bool = False) -> Files:
    """int8 and float32 of a network with a branch that is added, or of dense layers alone."""
    import tensorflow as tf

    layers = keras.layers
    keras.utils.set_random_seed(3)
    entry = keras.Input((16, 16, 3), batch_size=batch)
    if dense:
        features = layers.Flatten()(entry)
    else:
        first = layers.Conv2D(8, 3, strides=2, padding="same")(entry)
        deep = layers.ReLU(6.0)(layers.Conv2D(8, 1)(first))
        deep = layers.DepthwiseConv2D(3, padding="same", activation="relu")(deep)
        deep = layers.Conv2D(8, 1)(deep)
        features = layers.GlobalAveragePooling2D()(layers.Add()([first, deep]))
    model = keras.Model(entry, layers.Softmax()(8 * layers.Dense(5)(features)))
    for layer in model.layers:
        if weights := layer.get_weights():  # biases of zeros would be stored once
            layer.set_weights([weights[0], np.random.default_rng(1).normal(0, 0.1, weights[1].shape)])
    holder = tf.Module()
    holder.variables_held = [variable.value for variable in model.variables]

    def converter(prepare: Any, dtype: Any) -> Any:
        function = tf.function(
            lambda x: model(prepare(x), training=False),
            input_signature=[tf.TensorSpec((batch, 16, 16, 3), dtype)],
        )
        return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], holder)

    quantizing = converter(lambda x: x, tf.float32)
    quantizing.optimizations = [tf.lite.Optimize.DEFAULT]
    quantizing.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    scaled = (images / np.float32(255)).astype(np.float32)
    quantizing.representative_dataset = lambda: (
        [scaled[i : i + batch]] for i in range(0, len(images) - batch + 1, batch)
    )
    quantizing.inference_input_type = quantizing.inference_output_type = tf.uint8
    return quantizing.convert(), converter(lambda x: tf.cast(x, tf.float32) / 255, tf.uint8).convert()


@pytest.fixture(scope="module")
def both(keras: Any, images: Images) -> Files:
    return files(keras, images)


def context_of(float32: bytes, images: Images) -> Context:
    network = cast(Any, None)  # the refinement does not look at it
    return Context(network=network, float32=(float32, tflite_tree.read(float32)), calibration=images)


def corrected_by(quantized: bytes, float32: bytes, images: Images) -> tuple[bytes, str] | None:
    """The file with its biases corrected, and what was said of it; None if it was left as it is."""
    tree = tflite_tree.read(quantized)
    said = biases.refine(tree, context_of(float32, images))
    return (tflite_tree.write(tree), said) if said else None


def off(raw: bytes, float32: bytes, images: Images) -> float:
    """Mean difference of the scores from those of the float32 file."""

    def scores(file: bytes) -> NDArray[np.float32]:
        tree = tflite_tree.read(file)
        (output,) = tree.subgraphs[0].outputs
        scale, zero_point = tflite_tree.quantization(tree, output)
        found = np.concatenate([batch for (batch,) in tflite_run.tensors(file, [output], images)])
        return (found.astype(np.float32) - zero_point) * (scale or 1)

    return float(np.abs(scores(raw) - scores(float32)).mean())


def spoilt(raw: bytes, by: int) -> bytes:
    """The file with 8-bit steps added to what each convolution gives."""
    tree = tflite_tree.read(raw)
    for op in tflite_tree.operators(tree):
        if "CONV" in op.name:
            tensor = tree.subgraphs[0].tensors[op.inputs[2]]
            step = tflite_tree.quantization(tree, op.outputs[0])[0] * by
            buffer = tree.buffers[tensor.buffer] = copy.copy(tree.buffers[tensor.buffer])
            moved = np.frombuffer(bytes(buffer.data), "<i4") + step / tensor.quantization.scale
            buffer.data = np.frombuffer(moved.astype("<i4").tobytes(), np.uint8)
    return tflite_tree.write(tree)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 5])
def test_tflite_bias_correction_takes_out_what_every_image_is_off_by(
    keras: Any, images: Images, batch: int
) -> None:
    quantized, float32 = files(keras, images, batch)
    worse = spoilt(quantized, 4)
    corrected = corrected_by(worse, float32, images)
    assert corrected is not None
    before, after = (off(raw, float32, images) for raw in (worse, corrected[0]))
    assert before > 3 * off(quantized, float32, images)
    assert after < before / 3
    assert corrected[1].startswith(f"corrected on {48 // batch * batch} calibration images: mean error ")


def test_tflite_bias_correction_changes_only_biases(both: Files, images: Images) -> None:
    worse = tflite_tree.write(tflite_tree.read(spoilt(both[0], 12)))  # as this writer lays it out
    corrected = corrected_by(worse, both[1], images)
    assert corrected is not None
    assert len(corrected[0]) == len(worse)
    before, after = tflite_tree.read(worse), tflite_tree.read(corrected[0])
    assert tflite_tree.operators(after) == tflite_tree.operators(before)
    moved = {op.inputs[2] for op in tflite_tree.operators(before) if "CONV" in op.name}
    for index, (old, new) in enumerate(
        zip(before.subgraphs[0].tensors, after.subgraphs[0].tensors, strict=True)
    ):
        data = [
            None if b is None else bytes(b)
            for b in (before.buffers[old.buffer].data, after.buffers[new.buffer].data)
        ]
        assert (data[0] == data[1]) is (index not in moved)


def test_tflite_bias_correction_of_the_same_files_gives_the_same_bytes(both: Files, images: Images) -> None:
    worse = spoilt(both[0], 12)
    assert corrected_by(worse, both[1], images) == corrected_by(worse, both[1], images)


def test_tflite_bias_correction_that_comes_no_closer_leaves_the_file_alone(
    both: Files, images: Images
) -> None:
    corrected = corrected_by(both[0], both[1], images)
    if corrected is not None:  # as close as it gets in one round
        assert off(corrected[0], both[1], images) < off(both[0], both[1], images)
        assert corrected_by(corrected[0], both[0], images) is None


def test_tflite_bias_correction_that_comes_no_closer_is_taken_back(
    both: Files, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tflite_tree.read(spoilt(both[0], 12))
    before, moved = tflite_tree.write(tree), []
    errors = iter([0.1, 0.2])

    def worse(changed: Any, *_: Any) -> float:
        moved.append(tflite_tree.write(changed) != before)
        return next(errors)

    monkeypatch.setattr(biases, "_error", worse)
    assert biases.refine(tree, context_of(both[1], images)) is None
    assert moved == [False, True]
    assert tflite_tree.write(tree) == before


def test_tflite_bias_correction_leaves_a_network_without_convolutions_alone(
    keras: Any, images: Images
) -> None:
    assert corrected_by(*files(keras, images, dense=True), images) is None


def test_tflite_bias_correction_leaves_files_of_different_networks_alone(
    keras: Any, both: Files, images: Images
) -> None:
    _, other = files(keras, images, dense=True)
    assert corrected_by(both[0], other, images) is None
