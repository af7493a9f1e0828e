"""The planted layer is the one that is named: of two networks that do not survive quantization, and of faults
put into 8-bit files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgewright.export.explaining import naming
from edgewright.export.explaining.comparison import Comparison, Pairing, compare
from edgewright.export.explaining.graphs import Network
from edgewright.export.explaining.onnx import OnnxNetwork
from edgewright.export.explaining.references import Reference, with_layers
from edgewright.export.explaining.runtimes import kernels_apart, runtimes_apart
from edgewright.export.explaining.tflite import TFLiteNetwork
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.tree import Operator
from edgewright.train.datasets import Dataset

pytestmark = pytest.mark.slow
Made = Callable[[str], dict[str, bytes]]
FORMATS = ("tflite", "onnx")


def _network(name: str, raw: bytes) -> Network:
    return TFLiteNetwork(Path(name), raw) if name.startswith("tflite") else OnnxNetwork(Path(name), raw)


def _compared(files: dict[str, bytes], form: str, images: Any, raw: bytes | None = None) -> Comparison:
    """An 8-bit file beside its float one, as devices run it, its layers by their Keras names."""
    float32, int8 = (
        _network(f"{form}-{s}", raw if raw and s == "int8" else files[f"{form}-{s}"])
        for s in ("float32", "int8")
    )
    pairing = Pairing(int8, float32, images[:1])
    plain = [
        Reference(name=name, format=name, network=_network(name, files[f"{name}-float32"]))
        for name in FORMATS
    ]
    plain = [dataclasses.replace(each, network=float32) if each.format == form else each for each in plain]
    (known,) = (each.layers for each in with_layers(plain, [], images) if each.format == form)
    own = naming.layers(pairing.steps, pairing.twins)
    layers = [names or known.get(twin.value, ()) for names, twin in zip(own, pairing.twins, strict=True)]
    titles = naming.titles(pairing.steps, layers)
    return compare(int8, float32, pairing, images, int8.kernels[0], titles, layers)


def _named(found: Comparison) -> str | None:
    return found.diverges or found.loses_most


@pytest.fixture(scope="module")
def images(colour: Dataset) -> Any:
    return colour.x_test[:12]


@pytest.mark.parametrize("form", FORMATS)
def test_a_sound_file_has_no_layer_that_diverges(made: Made, images: Any, form: str) -> None:
    found = _compared(made("sound"), form, images)
    assert found.diverges is None
    assert len(found.steps) >= 7
    assert found.decided == 1
    assert all(step.own_snr > 20 for step in found.steps if step.operator in ("CONV_2D", "Conv"))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("case", "planted"), [("spread", "conv_1"), ("outlier", "hidden")])
def test_a_network_that_does_not_survive_is_told_by_its_layer(
    made: Made, images: Any, case: str, planted: str, form: str
) -> None:
    """Nodes of ONNX files have no Keras names of their own: they are those of the TFLite file."""
    found = _compared(made(case), form, images)
    assert found.diverges == planted
    assert max(step.spread for step in found.steps if step.layer == planted) > 50
    sound = _compared(made("sound"), form, images)
    assert max(step.spread for step in sound.steps) < 20


def _kernel(change: Callable[[Any], None]) -> Callable[[Any, Operator, int], None]:
    def plant(tree: Any, op: Operator, _: int) -> None:
        kernel = tflite_tree.constant(tree, op.inputs[1]).copy()
        change(kernel)
        tflite_tree.set_constant(tree, op.inputs[1], kernel)

    return plant


def _swap(kernel: Any) -> None:
    kernel[[0, 1]] = kernel[[1, 0]]


def _zero(kernel: Any) -> None:
    kernel[2] = 0


def _negate(kernel: Any) -> None:
    kernel[3] = -kernel[3].clip(-127)


def _shift(kernel: Any) -> None:
    kernel[...] = np.roll(kernel, 1, axis=2)


def _no_bias(tree: Any, op: Operator, _: int) -> None:
    bias = tflite_tree.constant(tree, op.inputs[2])
    tflite_tree.set_constant(tree, op.inputs[2], np.zeros_like(bias))


def _dead(tree: Any, op: Operator, _: int) -> None:
    bias = tflite_tree.constant(tree, op.inputs[2]).copy()
    bias[np.argmax(bias)] = -(2**24)
    tflite_tree.set_constant(tree, op.inputs[2], bias)


def _wrong_weight_scale(tree: Any, op: Operator, _: int) -> None:
    given = tree.subgraphs[0].tensors[op.inputs[1]].quantization
    first = np.arange(len(given.scale)) < 3
    given.scale = (np.asarray(given.scale) * np.where(first, 4, 1)).astype(np.float32)


def _wrong_scale(tree: Any, op: Operator, _: int) -> None:
    scale, zero_point = tflite_tree.quantization(tree, op.outputs[0])
    tflite_tree.set_quantization(tree, op.outputs[0], scale * 8, zero_point)


def _clipped(tree: Any, op: Operator, _: int) -> None:
    scale, zero_point = tflite_tree.quantization(tree, op.outputs[0])
    tflite_tree.set_quantization(tree, op.outputs[0], scale / 6, zero_point)


def _wrong_zero_point(tree: Any, op: Operator, _: int) -> None:
    scale, _zero_point = tflite_tree.quantization(tree, op.outputs[0])
    tflite_tree.set_quantization(tree, op.outputs[0], scale, 90)


def _wrong_bound(tree: Any, op: Operator, place: int) -> None:
    tree.subgraphs[0].operators[place].builtinOptions.fusedActivationFunction = 2  # at most 1


FAULTS = {
    "swapped channels": _kernel(_swap),
    "zeroed channel": _kernel(_zero),
    "sign": _kernel(_negate),
    "shifted kernel": _kernel(_shift),
    "bias lost": _no_bias,
    "dead channel": _dead,
    "weight scale": _wrong_weight_scale,
    "scale": _wrong_scale,
    "clipped range": _clipped,
    "zero point": _wrong_zero_point,
    "activation bound": _wrong_bound,
}


def _planted(raw: bytes, fault: str, place: int) -> bytes:
    """The file with a fault in the convolution of that number."""
    tree = tflite_tree.read(raw)
    operators = tflite_tree.operators(tree)
    where = [i for i, op in enumerate(operators) if op.name == "CONV_2D"][place]
    FAULTS[fault](tree, operators[where], where)
    return tflite_tree.write(tree)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_planted_layer_is_named_first(made: Made, images: Any, fault: str) -> None:
    for place in (0, 1):
        broken = _planted(made("sound")["tflite-int8"], fault, place)
        found = _compared(made("sound"), "tflite", images, broken)
        told = [(s.layer, round(s.score_snr, 1), round(s.own_snr, 1), s.blames) for s in found.steps]
        assert _named(found) == f"conv_{place}", told


def _onnx_planted(raw: bytes, fault: str, place: int) -> bytes:
    """An ONNX file with a fault in the convolution of that number."""
    model = onnx.load_from_string(raw)
    graph = model.graph
    constants = {constant.name: constant for constant in graph.initializer}
    made = {node.output[0]: node for node in graph.node}
    node = [node for node in graph.node if node.op_type == "Conv"][place]
    kernel, bias = (made[name] for name in node.input[1:3])
    written = next(n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == node.output[0])

    def change(name: str, how: Callable[[Any], Any]) -> None:
        old = numpy_helper.to_array(constants[name])
        constants[name].CopyFrom(numpy_helper.from_array(np.asarray(how(old.copy()), old.dtype), name))

    def in_place(how: Callable[[Any], None]) -> Callable[[Any], Any]:
        def changed(array: Any) -> Any:
            how(array)
            return array

        return changed

    plant: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "swapped channels": (kernel.input[0], in_place(_swap)),
        "zeroed channel": (kernel.input[0], in_place(_zero)),
        "sign": (kernel.input[0], in_place(_negate)),
        "shifted kernel": (kernel.input[0], lambda array: np.roll(array, 1, axis=3)),
        "bias lost": (bias.input[0], np.zeros_like),
        "weight scale": (kernel.input[1], lambda scale: scale * np.where(np.arange(len(scale)) < 3, 4, 1)),
        "scale": (written.input[1], lambda scale: scale * 8),
        "clipped range": (written.input[1], lambda scale: scale / 6),
        "zero point": (written.input[2], lambda _: 230),
    }
    change(*plant[fault])
    return model.SerializeToString()


@pytest.mark.parametrize(
    "fault",
    [
        *("swapped channels", "zeroed channel", "sign", "shifted kernel", "bias lost", "weight scale"),
        *("scale", "clipped range", "zero point"),
    ],
)
def test_the_planted_layer_of_an_onnx_file_is_named_first(made: Made, images: Any, fault: str) -> None:
    sound = [step.layer for step in _compared(made("sound"), "onnx", images).steps]
    for place in (0, 1):
        broken = _onnx_planted(made("sound")["onnx-int8"], fault, place)
        found = _compared(made("sound"), "onnx", images, broken)
        told = [(s.layer, round(s.score_snr, 1), round(s.own_snr, 1), s.blames) for s in found.steps]
        assert _named(found) in (f"conv_{place}", f"relu_{place}"), told
        assert [step.layer for step in found.steps] == sound


def test_kernels_that_do_the_same_do_not_part(made: Made, images: Any) -> None:
    files = made("sound")
    float32, int8 = (TFLiteNetwork(Path(s), files[f"tflite-{s}"]) for s in ("float32", "int8"))
    pairing = Pairing(int8, float32, images[:1])
    names = naming.titles(pairing.steps, naming.layers(pairing.steps, pairing.twins))
    found = kernels_apart(int8, float32, pairing, images, names)
    assert (found.one, found.other) == ("xnnpack", "reference")
    assert found.layer is None
    assert found.decided > 0.9  # scores of 8 bits tie
    whole = [compare(int8, float32, pairing, images, k, names, [()] * len(names)) for k in int8.kernels]
    assert [c.kernels for c in whole] == ["xnnpack", "reference"]
    assert abs(whole[0].steps[1].own_snr - whole[1].steps[1].own_snr) < 3


def test_kernels_that_part_are_told_with_the_layer(made: Made, images: Any) -> None:
    """The same file twice, one with a fault: as if the second kernels computed a layer wrong."""
    files = made("sound")
    float32, int8 = (TFLiteNetwork(Path(s), files[f"tflite-{s}"]) for s in ("float32", "int8"))
    broken = TFLiteNetwork(Path("broken"), _planted(files["tflite-int8"], "sign", 1))

    class Two(TFLiteNetwork):
        def whole(self, steps: Any, kernels: str) -> Any:
            return (int8 if kernels == "xnnpack" else broken).whole(steps, "xnnpack")

        def cut(self, steps: Any, kernels: str) -> Any:
            return (int8 if kernels == "xnnpack" else broken).cut(steps, "xnnpack")

    two = Two(Path("two"), files["tflite-int8"])
    pairing = Pairing(two, float32, images[:1])
    names = naming.titles(pairing.steps, naming.layers(pairing.steps, pairing.twins))
    found = kernels_apart(two, float32, pairing, images, names)
    assert found.layer == "conv_1"
    assert 0 < found.differing < 0.5


def test_two_runtimes_do_not_part_on_float_files(made: Made, images: Any) -> None:
    files = made("sound")
    lite, other = (_network(f"{form}-float32", files[f"{form}-float32"]) for form in FORMATS)
    found = runtimes_apart(("one", lite), ("other", other), images, {})
    assert (found.layer, found.decided) == (None, 1)
    assert found.snr > 90


def test_two_runtimes_that_part_are_told_with_the_layer(made: Made, images: Any) -> None:
    files = made("sound")
    lite = _network("tflite-float32", files["tflite-float32"])
    model = onnx.load_from_string(files["onnx-float32"])
    kernels = [c for c in model.graph.initializer if len(c.dims) == 4]
    wrong = numpy_helper.to_array(kernels[1]) * 1.1
    kernels[1].CopyFrom(numpy_helper.from_array(wrong.astype(np.float32), kernels[1].name))
    other = _network("onnx-float32", model.SerializeToString())
    names = naming.titles(lite.steps, naming.layers(lite.steps, lite.steps))
    titles = {step.value: name for step, name in zip(lite.steps, names, strict=True)}
    assert "conv_1" in names or "relu_1" in names
    found = runtimes_apart(("one", lite), ("other", other), images, titles)
    assert found.layer in ("conv_1", "relu_1")
