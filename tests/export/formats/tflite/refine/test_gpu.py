"""What GPUs compute wrongly is written otherwise, and the CPU's scores stay as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from edgewright.benchmarks.agreement import judging
from edgewright.benchmarks.record.measurement import Check
from edgewright.benchmarks.targets.gpu import ENGINE
from edgewright.export.formats import Context
from edgewright.export.formats.tflite import FORMAT
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.refine import gpu
from edgewright.export.network.network import Network
from edgewright.runtime import backends
from edgewright.runtime.contract.heads import Head
from edgewright.train.datasets import Dataset, Images

NetworkOf = Callable[[Path], Network]
Converted = Callable[[Network, Images], tuple[bytes, bytes]]


@pytest.fixture(scope="module")
def residual(
    keras: Any,
    write_checkpoint: Callable[..., Path],
    network_of: NetworkOf,
    colour: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Network:
    """Two 1x1 convolutions that stride over one tensor, and a branch that is added where maps are 1x1."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = image = keras.Input(colour.x_train.shape[1:])
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    aside = layers.Conv2D(12, 1, strides=2, name="shortcut")(x)
    within = layers.Conv2D(12, 1, strides=2, activation="relu", name="within")(x)
    x = layers.Add()([aside, layers.Conv2D(12, 3, padding="same")(within)])
    x = layers.Conv2D(16, 3, strides=4, padding="same", activation="relu")(x)
    branch = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.Add()([x, layers.Conv2D(16, 1, use_bias=False)(branch)])
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(10, activation="softmax")(x))
    return network_of(write_checkpoint(tmp_path_factory.mktemp("residual"), model, colour))


@pytest.fixture(scope="module")
def plain(residual: Network, converted: Converted, colour: Dataset) -> bytes:
    """Its int8 file as TensorFlow's converter makes it."""
    return converted(residual, colour.x_train[:40])[0]


def refined(raw: bytes, images: Images) -> tuple[Any, str | None]:
    tree = tflite_tree.read(raw)
    context = Context(network=cast(Any, None), float32=None, calibration=images)
    return tree, gpu.refine(tree, context)


def names(raw: bytes) -> list[str]:
    return [op.name for op in tflite_tree.operators(tflite_tree.read(raw))]


def scores(raw: bytes, images: Images) -> Any:
    backend = backends.get("litert")
    session = backend.open(backend.parse(Path("a.tflite"), raw), 1)
    return np.concatenate([session.run(image[np.newaxis]) for image in images])


def test_gpu_patterns_are_written_otherwise_and_scores_are_the_same(plain: bytes, colour: Dataset) -> None:
    assert gpu.unfit(tflite_tree.read(plain)) == (
        "they ignore the stride of 1x1 convolutions with 8-bit weights (shortcut, within); "
        "they compile no shader for ADD of [1,1,1,C] and [C]"
    )
    tree, said = refined(plain, colour.x_train[:20])
    raw = tflite_tree.write(tree)
    assert said is not None
    assert said.startswith("written for GPUs: the strides of 2 1x1 convolutions")
    assert "1 RESHAPE left out" in said
    assert gpu.unfit(tflite_tree.read(raw)) == ""
    before, after = names(plain), names(raw)
    assert after.count("MAX_POOL_2D") == before.count("MAX_POOL_2D") + 1  # one for both that stride
    assert after.count("RESHAPE") == before.count("RESHAPE") - 1
    assert np.array_equal(scores(plain, colour.x_test[:200]), scores(raw, colour.x_test[:200]))
    assert len(raw) < len(plain) + 1000


def test_gpu_patterns_that_are_not_there_leave_the_file_as_it_was(
    network_of: NetworkOf, converted: Converted, trained: Path, fashion_mini: Dataset, colour: Dataset
) -> None:
    quantized, _ = converted(network_of(trained), fashion_mini.x_train[:20])
    before = tflite_tree.write(tflite_tree.read(quantized))
    tree, said = refined(quantized, fashion_mini.x_train[:5])
    assert (said, gpu.unfit(tree), tflite_tree.write(tree)) == (None, "", before)


def test_gpu_patterns_are_taken_back_if_one_score_changes(
    plain: bytes, colour: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite = gpu.rewrite

    def worse(tree: Any) -> str | None:
        said = rewrite(tree)
        (output,) = (op.outputs[0] for op in tflite_tree.operators(tree) if op.name == "FULLY_CONNECTED")
        scale, zero_point = tflite_tree.quantization(tree, output)
        tflite_tree.set_quantization(tree, output, 1.5 * scale, zero_point)
        return said

    monkeypatch.setattr(gpu, "rewrite", worse)
    before = tflite_tree.write(tflite_tree.read(plain))
    tree, said = refined(plain, colour.x_train[:20])
    assert said is None
    assert tflite_tree.write(tree) == before


@pytest.mark.slow
def test_gpu_gives_the_scores_of_what_is_written_for_it_and_not_of_the_plain_file(
    residual: Network, plain: bytes, colour: Dataset, tmp_path: Path
) -> None:
    if lacking := ENGINE.missing():
        pytest.skip(f"target gpu needs {lacking}")

    def judged(raw: bytes) -> Check:
        file = backends.get("litert").parse(Path("a.tflite"), raw)
        session = backends.get("litert").open(file, 1)
        head = Head(kind="softmax", count=10)
        subject = judging.Subject(raw=raw, output=session.output, head=head, session=session, rounded=True)
        return judging.judge(subject, ENGINE, colour.x_test[:40], colour.x_test[:0]).check

    def written(scheme: str) -> bytes:
        path = tmp_path / f"{scheme}.tflite"
        FORMAT.export(residual, scheme, colour.x_train[:40], path)
        return path.read_bytes()

    wrong, right = judged(plain), judged(written("int8"))
    assert (wrong.verdict, right.verdict) == ("wrong", "right")
    assert (wrong.first_wrong_op, wrong.layer) == ("CONV_2D", "within") or wrong.layer == "shortcut"
    assert right.agreement == 1.0
    dynamic = {scheme: judged(written(scheme)).verdict for scheme in ("dynamic-int8", "dynamic-int8-gpu")}
    assert dynamic == {"dynamic-int8": "wrong", "dynamic-int8-gpu": "right"}


def test_dynamic_int8_strides_on_gpus_in_a_file_of_its_own(
    residual: Network, colour: Dataset, tmp_path: Path
) -> None:
    found = {}
    for scheme in ("int8", "dynamic-int8", "dynamic-int8-gpu", "float32"):
        path = tmp_path / f"{scheme}.tflite"
        found[scheme] = FORMAT.export(residual, scheme, colour.x_train[:40], path), path.read_bytes()
    unfit = {scheme: made.not_for_gpu for scheme, (made, _) in found.items()}
    assert unfit.pop("dynamic-int8").endswith("(shortcut, within); dynamic-int8-gpu is written otherwise")
    assert set(unfit.values()) == {""}
    assert "gpu" in found["int8"][0].chosen
    assert "gpu" in found["dynamic-int8-gpu"][0].chosen
    one, other = (scores(found[s][1], colour.x_test[:100]) for s in ("dynamic-int8", "dynamic-int8-gpu"))
    assert np.abs(one - other).max() < 0.05
    assert np.mean(one.argmax(1) == other.argmax(1)) > 0.95
