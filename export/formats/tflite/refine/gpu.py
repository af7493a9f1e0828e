"""Writes two patterns otherwise that LiteRT's GPU accelerator computes wrongly without a word.

    pattern                                    what it does                     written instead
    1x1 CONV_2D with a stride, 8-bit weights   ignores the stride               MAX_POOL_2D of 1x1 with the
    (the shortcuts of a ResNet)                                                 stride, CONV_2D without
    ADD of [1,1,1,C] and [C] behind RESHAPE    a shader that does not compile,  ADD without the RESHAPE
    (a MobileNet whose maps shrink to 1x1)     whose output is garbage

A pool of one pixel takes what the stride would have taken, so in integers the CPU's scores stay as they are,
and in floats too; where 8 bits are chosen as the activations come, they are chosen of fewer of them.

    LiteRT 2.3.0, cifar10-resnet8             as converted              rewritten
    int8, GPU beside CPU                      .70 off, 88 % of labels   .039 off, 100 %
    dynamic-int8, GPU beside CPU              .78 off, 81 %             .018 off, 99.7 %
    int8, XNNPACK: CPU time, scores           1                         1.006 (.999 to 1.014), the same
    dynamic-int8, XNNPACK: the same           1                         1.065 (1.057 to 1.071), .012 off
    int8, bytes; cycles of Ethos-U by vela    1                         1.003; 1.03 to 1.04

    MobileNetV2 at 32 pixels, random weights
    int8, GPU beside CPU                      .10 off                   0
    int8, XNNPACK: CPU time, scores           1                         1.00 (.95 to 1.03), the same
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.export.formats import Context
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.tree import Operator
from edgewright.runtime import backends
from edgewright.runtime.backends import Scores
from edgewright.runtime.graph import keras_layers
from edgewright.train.datasets import Images

_ELEMENTWISE = ("ADD", "SUB", "MUL")
_VERSIONS = {"float32": 1, "int8": 2}  # of MAX_POOL_2D, by what it is given


def refine(tree: Any, context: Context) -> str | None:
    """Rewrite an int8 file for GPUs.

    None where it has neither pattern, and taken back where one score of the calibration images changes on
    the CPU.
    """
    raw = tflite_tree.write(tree)
    rewritten = tflite_tree.read(raw)
    said = rewrite(rewritten)
    if said is None:
        return None
    images = context.calibration
    if not np.array_equal(_scores(raw, images), _scores(tflite_tree.write(rewritten), images)):
        return None
    vars(tree).update(vars(rewritten))
    return f"{said}; the scores of {len(images)} calibration images are the same on the CPU"


def rewrite(tree: Any) -> str | None:
    """Rewrite both patterns, whatever it changes; what was done, None where there is neither."""
    parts = []
    if count := _without_strides(tree):
        parts.append(f"the strides of {count} 1x1 convolutions in pools in front of them")
    if count := _without_reshapes(tree):
        parts.append(f"{count} RESHAPE left out in front of sums")
    return f"written for GPUs: {', '.join(parts)}" if parts else None


def unfit(tree: Any) -> str:
    """Why GPUs compute a file wrongly, by what is left of the patterns; empty where there is nothing.

    Not each file that they compute wrongly is found so: `edgewright bench --target gpu` runs it.
    """
    graph, left = tree.subgraphs[0], []
    order = list(zip(graph.operators, tflite_tree.operators(tree), strict=True))
    strided = [operator for op, operator in order if operator.name == "CONV_2D" and _strides(tree, op)]
    if strided:
        named = ", ".join(dict.fromkeys(_layers(tree, strided)))
        left.append(f"they ignore the stride of 1x1 convolutions with 8-bit weights ({named})")
    copy = tflite_tree.read(tflite_tree.write(tree)) if _is_quantized(tree) else None
    if copy is not None and _without_reshapes(copy):
        left.append("they compile no shader for ADD of [1,1,1,C] and [C]")
    return "; ".join(left)


def _layers(tree: Any, wanted: Sequence[Operator]) -> Iterator[str]:
    """What operators are called by Keras, or else in the file."""
    order = tflite_tree.operators(tree)
    layers = keras_layers(
        [[tflite_tree.tensor_name(tree, i) for i in (*op.inputs[1:2], *op.outputs)] for op in order]
    )
    for op in wanted:
        named = layers[order.index(op)]
        yield named[0] if named else tflite_tree.tensor_name(tree, op.outputs[0])


def _is_quantized(tree: Any) -> bool:
    """Whether there is a sum in 8 bits."""
    return any(
        op.name in _ELEMENTWISE and _type(tree, op.outputs[0]) == "INT8" for op in tflite_tree.operators(tree)
    )


def _without_strides(tree: Any) -> int:
    """Put a pool that strides in front of each strided 1x1 convolution with 8-bit weights; how many."""
    graph = tree.subgraphs[0]
    found, pools, done = [], {}, 0
    for op, operator in zip(graph.operators, tflite_tree.operators(tree), strict=True):
        if operator.name == "CONV_2D" and _strides(tree, op):
            options = op.builtinOptions
            key = (int(op.inputs[0]), options.strideH, options.strideW, options.padding)
            if key not in pools:
                pools[key] = _pooled(tree, op)
                found.append(pools[key][0])
            op.inputs = np.array([pools[key][1], *op.inputs[1:]], np.int32)
            options.strideH = options.strideW = 1
            done += 1
        found.append(op)
    graph.operators = found
    return done


def _strides(tree: Any, op: Any) -> bool:
    kernel, given = int(op.inputs[1]), int(op.inputs[0])
    tensor = tree.subgraphs[0].tensors[kernel]
    return (
        max(op.builtinOptions.strideH, op.builtinOptions.strideW) > 1
        and [int(n) for n in tensor.shape[1:3]] == [1, 1]
        and _type(tree, kernel) in ("INT8", "INT4")
        and _type(tree, given).lower() in _VERSIONS
    )


def _pooled(tree: Any, op: Any) -> tuple[Any, int]:
    """A pool of one pixel with the stride of a convolution, and the tensor that it gives."""
    from ai_edge_litert import schema_py_generated as schema

    graph = tree.subgraphs[0]
    given, gives = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    tensor = schema.TensorT()
    name = tflite_tree.tensor_name(tree, op.outputs[0]).partition(";")[0]
    tensor.name, tensor.type, tensor.quantization = f"{name}/stride", given.type, given.quantization
    tensor.shape = np.array([*gives.shape[:3], given.shape[3]], np.int32)
    if gives.shapeSignature is not None:
        tensor.shapeSignature = np.array([*gives.shapeSignature[:3], given.shape[3]], np.int32)
    tensor.buffer = 0  # the schema's own, which is empty
    graph.tensors.append(tensor)

    options = schema.Pool2DOptionsT()
    options.padding = op.builtinOptions.padding
    options.strideH, options.strideW = op.builtinOptions.strideH, op.builtinOptions.strideW
    options.filterHeight = options.filterWidth = 1
    pool = schema.OperatorT()
    pool.opcodeIndex = _code(tree, _VERSIONS[_type(tree, op.inputs[0]).lower()])
    pool.inputs = np.array([op.inputs[0]], np.int32)
    pool.outputs = np.array([len(graph.tensors) - 1], np.int32)
    pool.builtinOptionsType, pool.builtinOptions = schema.BuiltinOptions.Pool2DOptions, options
    return pool, len(graph.tensors) - 1


def _code(tree: Any, version: int) -> int:
    """The place of MAX_POOL_2D of at least that version among the file's operator codes; added if need be."""
    from ai_edge_litert import schema_py_generated as schema

    kind = schema.BuiltinOperator.MAX_POOL_2D
    for place, known in enumerate(tree.operatorCodes):
        if known.builtinCode == kind and known.version >= version:
            return place
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = kind
    code.version = version
    tree.operatorCodes.append(code)
    return len(tree.operatorCodes) - 1


def _without_reshapes(tree: Any) -> int:
    """Have sums read what a RESHAPE was given where that has their own shape; how many fewer of those."""
    graph = tree.subgraphs[0]
    operators = tflite_tree.operators(tree)
    made = {op.outputs[0]: op.inputs[0] for op in operators if op.name == "RESHAPE"}
    for op, operator in zip(graph.operators, operators, strict=True):
        if operator.name in _ELEMENTWISE:
            wanted = _shape(tree, operator.outputs[0])
            for position, index in enumerate(operator.inputs):
                before = made.get(index, -1)
                if before >= 0 and _shape(tree, before) == wanted and _is_tail(tree, index, wanted):
                    changed = np.array(op.inputs, np.int32)
                    changed[position] = before
                    op.inputs = changed
    read = {int(i) for op in graph.operators for i in op.inputs} | {int(i) for i in graph.outputs}
    kept = [
        op
        for op, operator in zip(graph.operators, operators, strict=True)
        if operator.name != "RESHAPE" or operator.outputs[0] in read
    ]
    left_out = len(graph.operators) - len(kept)
    graph.operators = kept
    return left_out


def _is_tail(tree: Any, index: int, shape: list[int]) -> bool:
    """Whether a tensor has that shape without some ones at its beginning, and no free size."""
    own = _shape(tree, index)
    ones = len(shape) - len(own)
    free = tree.subgraphs[0].tensors[index].shapeSignature
    return (
        ones > 0
        and shape == [1] * ones + own
        and (free is None or min((int(n) for n in free), default=1) >= 0)
    )


def _shape(tree: Any, index: int) -> list[int]:
    shape = tree.subgraphs[0].tensors[index].shape
    return [] if shape is None else [int(n) for n in shape]


def _type(tree: Any, index: int) -> str:
    from ai_edge_litert.schema_py_generated import TensorType

    names = {number: name for name, number in vars(TensorType).items() if isinstance(number, int)}
    return str(names.get(int(tree.subgraphs[0].tensors[index].type), ""))


def _scores(raw: bytes, images: Images) -> Scores:
    """What the file gives on the kernels that devices run it on."""
    backend = backends.get("litert")
    session = backends.for_any_batch(backend.open(backend.parse(Path("what is made"), raw), 1))
    try:
        return np.concatenate([session.run(image[np.newaxis]) for image in images])
    finally:
        session.close()
