"""The whole graph of a .tflite file, with every index and size checked.

Slots and numbers: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

from collections.abc import Hashable
from math import prod

import numpy as np

from edgewright.runtime.backends import DamagedError
from edgewright.runtime.backends.litert.flatbuffer import Table
from edgewright.runtime.backends.litert.schema import DTYPES
from edgewright.runtime.graph import Graph, Node, Shape, Tensor

# BuiltinOperator, in the order of its numbers.
_OPERATOR_NAMES = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP
FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC
LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX
SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD
UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE
UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX
DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER
GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL
NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT
LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE
RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2
ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND
HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY
SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D
IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL
BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD
UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR
RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM
STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION
STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE
STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR
STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH
STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE
STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL
STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE
STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT
STABLEHLO_CASE
"""
OPERATORS = tuple(_OPERATOR_NAMES.split())

MAX_RANK = 8
MAX_ELEMENTS = 2**40  # elements: more than any memory, less than what overflows


def read(raw: bytes) -> Graph:
    """The main graph. Raises `DamagedError` where an index, size or offset cannot be."""
    model = Table.root(raw)
    graphs = model.tables(2)
    if not graphs:
        raise DamagedError("no subgraph")
    stored = [_stored_bytes(buffer, len(raw)) for buffer in model.tables(4)]
    codes = [_operator(code) for code in model.tables(1)]
    found = [_read(graph, stored, codes) for graph in graphs]
    if len(graphs) > 1:
        note = f"{len(graphs) - 1} further graphs, of branches and loops, are not counted"
        return Graph(**{**vars(found[0]), "notes": (note,)})
    return found[0]


def _read(graph: Table, stored: list[int], codes: list[str]) -> Graph:
    tensors: dict[Hashable, Tensor] = {i: _tensor(table, stored) for i, table in enumerate(graph.tables(0))}

    def keys(table: Table, slot: int, *, optional: bool = False) -> tuple[int, ...]:
        indices = table.integers(slot)
        for index in indices:
            if index not in tensors and not (optional and index == -1):
                raise DamagedError(f"tensor {index} of {len(tensors)}")
        return indices

    nodes = []
    for operator in graph.tables(3):
        code = operator.scalar(0, "<I")
        if code >= len(codes):
            raise DamagedError(f"operator code {code} of {len(codes)}")
        inputs, outputs = keys(operator, 1, optional=True), keys(operator, 2)
        macs = _macs(codes[code], [tensors.get(i) for i in inputs], [tensors[i] for i in outputs])
        present = tuple(i for i in inputs if i != -1)
        nodes.append(Node(operator=codes[code], inputs=present, outputs=outputs, macs=macs))
    return Graph(tensors=tensors, nodes=nodes, inputs=keys(graph, 1), outputs=keys(graph, 2))


def _operator(code: Table) -> str:
    # Numbers above 127 stand in the newer, wider field; the old one then holds 127.
    number = max(code.scalar(0, "<b"), code.scalar(3, "<i"))
    known = OPERATORS[number] if 0 <= number < len(OPERATORS) else f"builtin-{number}"
    return code.text(1) or known


def _stored_bytes(buffer: Table, file_bytes: int) -> int:
    start, size = buffer.scalar(1, "<Q"), buffer.scalar(2, "<Q")
    if start > 1:  # large constants may stand behind the FlatBuffer
        if start + size > file_bytes:
            raise DamagedError(f"a buffer of {size} bytes at byte {start} ends outside the file")
        return size
    return buffer.count(0)


def _tensor(table: Table, stored: list[int]) -> Tensor:
    rank = table.count(0, 4)
    if rank > MAX_RANK:
        raise DamagedError(f"a tensor of {rank} dimensions")
    shape = table.integers(0)
    if any(size < -1 for size in shape) or prod(map(abs, shape)) > MAX_ELEMENTS:
        raise DamagedError(f"a tensor of shape {shape}")
    number, buffer = table.scalar(1, "<b"), table.scalar(2, "<I")
    if number not in DTYPES:
        raise DamagedError(f"a tensor of type {number}")
    if buffer >= len(stored):
        raise DamagedError(f"buffer {buffer} of {len(stored)}")
    tensor = Tensor(
        name=table.text(3),
        shape=tuple(abs(size) for size in shape),
        dtype=DTYPES[number],
        stored_bytes=stored[buffer] or None,
        quantization=_quantization(table),
    )
    # Sparse constants, which have a table at slot 6, take less.
    if tensor.stored_bytes and tensor.bytes not in (None, tensor.stored_bytes) and table.table(6) is None:
        raise DamagedError(f"{tensor.stored_bytes} bytes for the {tensor.bytes} of tensor '{tensor.name}'")
    return tensor


def _quantization(table: Table) -> str:
    quantization = table.table(4)
    if quantization is None or not (count := quantization.count(2, 4)):
        return ""
    scales, zero_points = quantization.numbers(2, "<f4"), quantization.numbers(3, "<i8")
    if count == 1:
        return f"scale {scales[0]:.6g}, zero point {zero_points[0] if len(zero_points) else 0}"
    axis = quantization.scalar(6, "<i")
    same = f", zero point {zero_points[0]}" if len(np.unique(zero_points)) == 1 else ""
    return f"per channel (axis {axis}): {count} scales {scales.min():.3g} to {scales.max():.3g}{same}"


def _macs(operator: str, inputs: list[Tensor | None], outputs: list[Tensor]) -> int | None:
    """Multiply-accumulates, 0 of what multiplies no matrix."""

    def shape(tensors: list[Tensor] | list[Tensor | None], place: int) -> Shape:
        tensor = tensors[place] if place < len(tensors) else None
        return (tensor.shape if tensor else None) or ()

    weights, out = shape(inputs, 1), prod(shape(outputs, 0))
    if operator in ("CONV_2D", "CONV_3D") and len(weights) > 3:
        # A grouped convolution's weights count the channels of one group; CONV_3D has its filters last.
        return out * prod(weights[1:] if operator == "CONV_2D" else weights[:-1])
    if operator == "DEPTHWISE_CONV_2D" and len(weights) == 4:
        return out * weights[1] * weights[2]
    if operator == "FULLY_CONNECTED" and len(weights) == 2:
        return out * weights[1]
    if operator == "TRANSPOSE_CONV" and len(weights) == 4:
        return prod(shape(inputs, 2)) * prod(weights[:3])
    if operator == "BATCH_MATMUL" and (left := shape(inputs, 0)):
        return out * left[-1]
    return 0
