"""Reads an ONNX file of any origin with suspicion: one image in, one tensor of scores out, and nothing but
operators that every runtime knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edgewright.export.network import model as models
from edgewright.export.network.model import Model
from edgewright.export.network.onnx import graphs
from edgewright.runtime.errors import ExportError

ML = "ai.onnx.ml"  # https://onnx.ai/onnx/operators/index.html#ai-onnx-ml
_STANDARD = ("", "ai.onnx", ML)
_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")
_RANDOM = (
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
)


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """An ONNX model cut down to what gives its scores.

    `model` is a ModelProto with one input, all weights inside and no output yet; `input` is that of the
    image with its `dtype` (onnx.TensorProto.DataType) and `dims`, None where they are open; `value` holds
    the scores and `output` is what the file calls them.
    """

    model: Any
    input: str
    dtype: int
    dims: tuple[int | None, ...]
    value: str
    output: str


def read(model: Model) -> OnnxFile:
    """Raises `ExportError`: damaged, quantized already, not one image and one tensor of scores, or of
    operators that are not ONNX's."""
    import onnx

    if models.digest(model.path) != model.sha256:
        raise ExportError(f"{model.path} is not the model it was a moment ago; export it again")
    with _invalid_as(model):
        proto = onnx.load(model.path, load_external_data=False)
        onnx.external_data_helper.load_external_data_for_model(proto, str(model.path.parent))
        if not proto.graph.node:
            raise ValueError("it computes nothing")
        proto.ir_version = max(proto.ir_version, 4)  # older ones want constants among the inputs
        del proto.training_info[:]
        _join_opsets(proto)
        if proto.functions:
            proto = onnx.inliner.inline_local_functions(proto)
    graph = proto.graph
    given = _input(graph)
    output, value = _output(graph, model.output)
    graphs.cut(graph, value)
    _refuse(graph, model)
    with _invalid_as(model):
        onnx.checker.check_model(proto)
    tensor = given.type.tensor_type
    open_ends = (
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim
    )
    return OnnxFile(
        model=proto,
        input=given.name,
        dtype=tensor.elem_type,
        dims=tuple(open_ends),
        value=value,
        output=output,
    )


@contextmanager
def _invalid_as(model: Model) -> Iterator[None]:
    """Turn what protobuf, the file system and onnx raise, which is what they like, into `ExportError`."""
    try:
        yield
    except Exception as failure:
        reason = " ".join(str(failure).split()) or type(failure).__name__
        raise ExportError(f"expected a valid ONNX model, got {model.path}: {reason[:300]}") from failure


def _join_opsets(proto: Any) -> None:
    """skl2onnx imports a domain twice; the newest is what its operators were checked against."""
    for part in graphs.everywhere(proto.graph):
        for node in part.node:
            node.domain = "" if node.domain == "ai.onnx" else node.domain
    newest: dict[str, int] = {}
    for entry in proto.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        newest[domain] = max(entry.version, newest.get(domain, 0))
    del proto.opset_import[:]
    for domain, version in newest.items():
        proto.opset_import.add(domain=domain, version=version)


def _input(graph: Any) -> Any:
    """The one input that is no constant; constants leave the inputs, where old files list them."""
    constants = {constant.name for constant in graph.initializer}
    constants |= {constant.values.name for constant in graph.sparse_initializer}
    given = [value for value in graph.input if value.name not in constants]
    if len(given) != 1:
        names = ", ".join(f"'{value.name}'" for value in given) or "none"
        raise ExportError(f"expected a network with one input, got {len(given)}: {names}")
    kept = type(given[0]).FromString(given[0].SerializeToString())
    del graph.input[:]
    graph.input.append(kept)
    if not kept.type.HasField("tensor_type") or not kept.type.tensor_type.HasField("shape"):
        raise ExportError(f"expected a tensor of known rank as the input, got '{kept.name}' without a shape")
    return kept


def _output(graph: Any, asked: str | None) -> tuple[str, str]:
    """The name of the output that holds the scores, and the value that it is: of a ZipMap, which makes a
    dictionary an image of them, what goes in."""
    from onnx import TensorProto

    zipped = {n.output[0]: n.input[0] for n in graph.node if (n.domain, n.op_type) == (ML, "ZipMap")}
    names = [value.name for value in graph.output]
    if asked is not None:
        if asked not in names:
            raise ExportError(f"expected --output to be one of {', '.join(names)}, got '{asked}'")
        return asked, zipped.get(asked, asked)
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
    scores = [
        value.name
        for value in graph.output
        if value.name in zipped
        or (value.type.HasField("tensor_type") and value.type.tensor_type.elem_type in floats)
    ]
    if not scores:
        raise ExportError(f"expected an output of float scores, got {', '.join(names) or 'none'}")
    if len(scores) > 1:
        raise ExportError(
            f"expected a network with one output of scores, got {len(scores)}: {', '.join(scores)}; "
            f"add --output {scores[0]} or another"
        )
    return scores[0], zipped.get(scores[0], scores[0])


def _refuse(graph: Any, model: Model) -> None:
    """Raises `ExportError`: an operator that is not ONNX's own, makes integers, or draws at random."""
    for part in graphs.everywhere(graph):
        constants = {constant.name for constant in part.initializer}
        for node in part.node:
            place = f"{node.op_type} at '{node.name or node.output[0]}'"
            if node.op_type in _QUANTIZED or node.op_type.startswith("QLinear"):
                raise ExportError(
                    f"expected a float model, got {model.path}, which is quantized already ({place}); export "
                    "the float file it was made from"
                )
            if node.domain not in _STANDARD:
                raise ExportError(
                    f"expected operators of ONNX itself, got {place} of '{node.domain}', which other "
                    "runtimes do not know; save the model without it"
                )
            training = [a.i for a in node.attribute if a.name == "training_mode"]
            drops = node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] in constants
            if node.op_type in _RANDOM or any(training) or (drops and _is_true(part, node.input[2])):
                raise ExportError(
                    f"expected a network for inference, got {place}, as it is in training; save it in "
                    "evaluation mode"
                )


def _is_true(graph: Any, name: str) -> bool:
    from onnx import numpy_helper

    return any(bool(numpy_helper.to_array(c).any()) for c in graph.initializer if c.name == name)
