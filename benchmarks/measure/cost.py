"""How far a variant is from what this machine can do: its multiplications, and the machine's peak.

The peak is that of one matrix product of 512 x 512 by 512 x 512 on onnxruntime's own kernels (MLAS),
`MatMul` for float32 and `MatMulInteger` of uint8 by int8 for int8, in multiply-accumulates a second: the
fastest of many, so that other load does not lower it. The ONNX file of one node is written here by hand.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.benchmarks.record.record import Model
from edgewright.runtime import backends, plugins
from edgewright.runtime.bundle.manifest import Bundle

SIZE = 512
_SECONDS = 0.2
# ONNX TensorProto.DataType (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto)
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6}
# arithmetic: operator, dtype of left, right and product
KERNELS = {
    "float32": ("MatMul", "float32", "float32", "float32"),
    "int8": ("MatMulInteger", "uint8", "int8", "int32"),
}


def of_variant(bundle: Bundle, variant: str) -> Model:
    """What the file of a variant says. Raises `BundleError`, `ModelFileError`."""
    entry = bundle.variant(variant)
    path = bundle.path(entry.file)
    backend = backends.for_path(path)
    file = backend.read(path)
    known, unknown = backend.graph(file).macs()
    if any(size < 0 for spec in file.inputs for size in spec.shape[1:]):
        unknown += 1  # the graph counts a free size as 1
    macs = None if unknown else known
    return Model(bytes=len(file.raw), macs=macs, arithmetic=entry.arithmetic, sha256=entry.file.sha256)


def peaks(threads: int) -> dict[str, float]:
    """Multiply-accumulates a second by arithmetic, with so many threads; {} without onnxruntime."""
    if not plugins.installed("onnxruntime"):
        return {}
    return {arithmetic: _peak(*kernel, threads) for arithmetic, kernel in KERNELS.items()}


def _peak(operator: str, left: str, right: str, product: str, threads: int) -> float:
    import onnxruntime

    random = np.random.default_rng(0)
    a, b = (random.integers(0, 100, (SIZE, SIZE)).astype(dtype) for dtype in (left, right))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    session = onnxruntime.InferenceSession(
        matrix_product(operator, left, b, product), options, providers=["CPUExecutionProvider"]
    )
    best, end = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, {"a": a})
        best = min(best, time.perf_counter() - start)
    return float(SIZE**3 / best)


def matrix_product(operator: str, left: str, b: NDArray[Any], product: str) -> bytes:
    """An ONNX file that multiplies an input `a` of dtype `left` with the constant `b` `(n, n)`."""
    constant = _field(1, b.shape[0]) + _field(1, b.shape[1]) + _field(2, _TYPES[b.dtype.name])
    constant += _field(8, b"b") + _field(9, b.tobytes())
    node = _field(1, b"a") + _field(1, b"b") + _field(2, b"c") + _field(4, operator.encode())
    graph = _field(1, node) + _field(2, b"product") + _field(5, constant)
    graph += _field(11, _value(b"a", left, b.shape)) + _field(12, _value(b"c", product, b.shape))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))  # IR version 8, opset 13


def _value(name: bytes, dtype: str, shape: tuple[int, ...]) -> bytes:
    """ValueInfoProto of a tensor."""
    dimensions = b"".join(_field(1, _field(1, size)) for size in shape)
    tensor = _field(1, _TYPES[dtype]) + _field(2, dimensions)
    return _field(1, name) + _field(2, _field(1, tensor))


def _field(number: int, value: int | bytes) -> bytes:
    """A protobuf field: a varint, or bytes with their length in front."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
