"""TFLite files: integers where integers are promised, raw pixels at the door, the weights inside."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export.exporter import Result
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.schemes import FORMAT
from edgewright.export.network.network import Network
from edgewright.runtime.backends.litert import BACKEND
from edgewright.runtime.contract import ModelContract
from edgewright.train import recipe
from edgewright.train.checkpoint import Checkpoint
from edgewright.train.datasets import Dataset, Images

MakeCheckpoint = Callable[..., Path]
NetworkOf = Callable[..., Network]
Convert = Callable[..., dict[str, Path]]


def dtypes(path: Path) -> Counter[str]:
    """How many numbers a file's constants hold, by dtype."""
    from ai_edge_litert.schema_py_generated import TensorType

    names = {number: name for name, number in vars(TensorType).items() if isinstance(number, int)}
    tree = tflite_tree.read(path.read_bytes())
    counts: Counter[str] = Counter()
    for index, size in tflite_tree.constant_sizes(tree).items():
        counts[names[tree.subgraphs[0].tensors[index].type]] += size
    return counts


def operators(path: Path) -> list[str]:
    return [op.name for op in tflite_tree.operators(tflite_tree.read(path.read_bytes()))]


@pytest.mark.parametrize(
    ("ends", "scale", "zero_points", "darkest"),
    [
        ((0.0, 1.0), 1 / 255, {0}, False),
        ((-1.0, 1.0), 2 / 255, {127, 128}, True),
        pytest.param((0.0, 1.0), 1 / 255, {0}, True, marks=pytest.mark.slow),
        pytest.param((-1.0, 1.0), 2 / 255, {127, 128}, False, marks=[pytest.mark.slow, pytest.mark.long]),
        pytest.param((0.0, 255.0), 1.0, {0}, False, marks=[pytest.mark.slow, pytest.mark.long]),
        pytest.param((0.0, 255.0), 1.0, {0}, True, marks=pytest.mark.slow),
    ],
)
def test_tflite_int8_input_takes_raw_pixels_even_if_all_calibration_images_are_dark(
    ends: tuple[float, float],
    scale: float,
    zero_points: set[int],
    darkest: bool,
    build_conv: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
    convert: Convert,
) -> None:
    folder = make_checkpoint(build_conv(ends), colour, input_range=ends)
    images: Images = colour.x_train[:60] // 3 if darkest else colour.x_train[:60]
    assert (images.max() < 100) == darkest
    path = convert(folder, images, ["tflite-int8"])["tflite-int8"]
    given = BACKEND.read(path).inputs[0]
    assert given.dtype == "uint8"
    assert given.shape == (1, 14, 14, 3)
    assert given.scale == pytest.approx(scale, rel=1e-5)
    assert given.zero_point in zero_points


def test_tflite_int8_is_all_integer_with_one_quantize_at_each_end(
    build_conv: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, convert: Convert
) -> None:
    folder = make_checkpoint(build_conv(), colour, input_range=(-1.0, 1.0))
    path = convert(folder, colour.x_train[:60], ["tflite-int8"])["tflite-int8"]
    found = operators(path)
    assert found[:2] == ["QUANTIZE", "CONV_2D"]
    assert found[-2:] == ["SOFTMAX", "QUANTIZE"]
    assert found.count("QUANTIZE") == 2
    assert BACKEND.read(path).outputs[0].dtype == "uint8"
    tree = tflite_tree.read(path.read_bytes())
    assert {tensor.type for tensor in tree.subgraphs[0].tensors} <= {2, 3, 9}  # int32, uint8, int8


@pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic-int8"])
def test_tflite_float_files_cast_raw_pixels_and_give_float_scores(
    exported: tuple[Path, Result], scheme: str
) -> None:
    path = exported[0] / f"tflite-{scheme}.tflite"
    file = BACKEND.read(path)
    assert (file.inputs[0].dtype, file.inputs[0].shape) == ("uint8", (1, 28, 28, 1))
    assert (file.outputs[0].dtype, file.outputs[0].shape) == ("float32", (1, 10))
    computing = [name for name in operators(path) if name != "DEQUANTIZE"]  # float16 constants
    assert computing[:2] == ["CAST", "MUL"]


def test_tflite_schemes_store_weights_as_they_say(exported: tuple[Path, Result]) -> None:
    hidden, last = 784 * 256, 2560
    found = {s: dtypes(exported[0] / f"tflite-{s}.tflite") for s in ("float16", "dynamic-int8", "int8")}
    assert found["float16"]["FLOAT16"] >= hidden + last
    assert found["dynamic-int8"]["INT8"] == hidden
    assert last <= found["dynamic-int8"]["FLOAT32"] < 2 * last
    assert found["int8"]["INT8"] == hidden + last
    assert not found["int8"]["FLOAT32"]


def test_tflite_dynamic_int8_quantizes_a_last_layer_that_holds_most_weights_too(
    keras: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, convert: Convert
) -> None:
    model = keras.Sequential(
        [
            keras.Input(colour.x_train.shape[1:]),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    folder = make_checkpoint(model, colour)
    path = convert(folder, colour.x_train[:60], ["tflite-dynamic-int8"])["tflite-dynamic-int8"]
    found = dtypes(path)
    assert found["INT8"] >= 12 * 12 * 4 * 10
    assert found["FLOAT32"] < 1000


def test_tflite_signature_names_input_and_output(exported: tuple[Path, Result]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    for path in exported[0].glob("*.tflite"):
        signatures = Interpreter(model_path=str(path)).get_signature_list()
        assert list(signatures.values()) == [{"inputs": ["image"], "outputs": ["scores"]}]


def test_manifest_conversion_chosen_says_what_was_chosen_and_why(exported: tuple[Path, Result]) -> None:
    from edgewright.runtime import Bundle

    chosen = {v.name: v.conversion["chosen"] for v in Bundle.open(exported[0]).manifest.variants}
    assert "saturated" in chosen["tflite-int8"]["logits"]
    assert "5% of the weights" in chosen["tflite-dynamic-int8"]["why"]
    assert chosen["onnx-int8"]["float32"] == "Gemm and Softmax"


def test_tflite_int8_pixels_are_not_rounded_on_their_way_into_the_file(exported: tuple[Path, Result]) -> None:
    """All 256 greys stay apart behind the first QUANTIZE."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(exported[0] / "tflite-int8.tflite"),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    image = np.resize(np.arange(256, dtype=np.uint8), (1, 28, 28, 1))
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    tree = tflite_tree.read((exported[0] / "tflite-int8.tflite").read_bytes())
    first = tflite_tree.operators(tree)[0]
    inside = interpreter.get_tensor(first.outputs[0]).astype(int)
    assert first.name == "QUANTIZE"
    np.testing.assert_array_equal(inside, image.astype(int) - 128)


def test_tflite_int16x8_weight_int8_and_weight_int4_store_weights_as_they_say(
    build_conv: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, convert: Convert
) -> None:
    names = ["tflite-int16x8", "tflite-weight-int8", "tflite-weight-int4"]
    paths = convert(make_checkpoint(build_conv(), colour), colour.x_train[:40], names)
    found = {name: dtypes(path) for name, path in paths.items()}
    hidden, last = 6 * 6 * 8 * 64, 64 * 10
    assert found["tflite-int16x8"]["INT8"] >= hidden + last
    assert found["tflite-weight-int8"]["INT8"] >= hidden
    assert found["tflite-weight-int4"]["INT4"] >= hidden
    for name in names[1:]:
        assert last <= found[name]["FLOAT32"] < 3 * last
        assert "DEQUANTIZE" in operators(paths[name])
    tree = tflite_tree.read(paths["tflite-int16x8"].read_bytes())
    layers = [op for op in tflite_tree.operators(tree) if op.name in ("CONV_2D", "FULLY_CONNECTED")]
    assert {tree.subgraphs[0].tensors[op.outputs[0]].type for op in layers} == {7}  # int16
    assert BACKEND.read(paths["tflite-int16x8"]).inputs[0].dtype == "uint8"


def test_tflite_int16x8_says_what_it_costs_and_is_judged_on_few_images() -> None:
    scheme = FORMAT.schemes["int16x8"]
    assert "slower" in scheme.summary
    assert scheme.most_samples == 2000


@pytest.mark.slow
def test_tflite_int8_of_resnet8_is_small_and_so_is_its_metadata(
    keras: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, network_of: NetworkOf, tmp_path: Path
) -> None:
    """The size of the published MLPerf Tiny file, and what a phone's tools need beside it."""
    padded = {
        key: np.pad(getattr(colour, key), ((0, 0), (9, 9), (9, 9), (0, 0))) for key in ("x_train", "x_test")
    }
    dataset = dataclasses.replace(colour, **padded)
    model = recipe.get("cifar10-resnet8").build(keras, (32, 32, 3), 10)
    folder = make_checkpoint(model, dataset)
    checkpoint = Checkpoint.open(folder)
    path = tmp_path / "a.tflite"
    FORMAT.export(network_of(folder), "int8", dataset.x_train[:20], path)
    before = path.stat().st_size
    contract = ModelContract(name="a", variant="tflite-int8", input=checkpoint.input, labels=dataset.labels)
    FORMAT.attach(path, contract)
    assert before <= 98_496
    assert path.stat().st_size - before <= 4096


def test_tflite_weight_int4_leaves_no_depthwise_convolution_in_floats(
    keras: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, convert: Convert
) -> None:
    """The quantizer's own 4-bit recipe does."""
    layers = [keras.Input(colour.x_train.shape[1:]), keras.layers.Conv2D(16, 1)]
    layers += [keras.layers.DepthwiseConv2D(3), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
    path = convert(make_checkpoint(model, colour), colour.x_train[:20], ["tflite-weight-int4"])
    found = dtypes(path["tflite-weight-int4"])
    assert found["INT4"] >= 12 * 12 * 16 * 10
    assert found["INT8"] >= 9 * 16
    assert found["FLOAT32"] < 300
