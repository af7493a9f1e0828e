"""Publishes what becomes of 8-bit files that collapse: repaired, left alone, and by NNCF.

    python -m edgewright.benchmarks.figures.repair --data FILE.npz --nncf PYTHON --models FOLDER --out FOLDER

`PYTHON` is one where `nncf`, `onnx` and `onnxruntime` are installed; without it its rows are left out. All
tools have the same 1,256 training images, of which 256 calibrate, and are judged on the same 10,000 test
images, which none of them has seen. `--models` has the networks of `trained.py`; rows of one that is not
there stay as they are, and those of cases that are not among `--cases`. `float_ops` are operators that
compute in float32, but for the scaling of pixels and the softmax; `in_8_bits` is the share of
multiplications in 8 bits; `plain` is true of a file that its engine loads without optimizations alone. Of a
.tflite there are, too, `a76_instructions` of an image on an emulated Cortex-A76, and `npu_leaves`, the share
of operators that an Ethos-U55 leaves to its CPU.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.benchmarks.figures import publish, script
from edgewright.benchmarks.figures.repair import trained, with_nncf
from edgewright.benchmarks.figures.repair.planted import CALIBRATION, CASES
from edgewright.benchmarks.measure import environment, lone
from edgewright.benchmarks.record.measurement import Plan
from edgewright.benchmarks.targets import ethos_u
from edgewright.benchmarks.targets.arm64 import target as arm64
from edgewright.export.proof.interval import score_interval
from edgewright.runtime import backends, console
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import InputError, ModelFileError
from edgewright.runtime.graph import Graph, Node

CASE_ORDER = (*CASES, *trained.NETWORKS)

Row = Mapping[str, Any]
Right = NDArray[np.bool_]
_COMPUTES = frozenset(
    (
        *("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MUL", "ADD", "LOGISTIC", "MEAN", "SUM"),
        *(
            "Conv",
            "Gemm",
            "MatMul",
            "Mul",
            "Add",
            "Sigmoid",
            "GlobalAveragePool",
            "AveragePool",
            "ReduceMean",
        ),
    )
)
_LAYERS = ("Conv", "Gemm", "MatMul")
_DEVICES = (arm64.TARGET, ethos_u.TARGET)
_MOVES = frozenset(("Cast", "CAST", "Transpose", "TRANSPOSE", "Reshape", "RESHAPE", "Flatten", "MaxPool"))


def float_ops(path: Path) -> int:
    """How many operators of a file compute in float32: not those that move numbers, nor the scaling of pixels
    or the bias behind a layer. In ONNX an operator computes in 8 bits if all that it takes is dequantized,
    the kernel of a layer too."""
    return sum(1 for _ in _in_float(_graph(path)))


def in_8_bits(path: Path) -> float:
    """The share of a file's multiplications that are in 8 bits, 0 to 1."""
    graph = _graph(path)
    of_all = sum(node.macs or 0 for node in graph.nodes)
    return 1 - sum(node.macs or 0 for node in _in_float(graph)) / max(1, of_all)


def _graph(path: Path) -> Graph:
    reader = backends.for_path(path)
    return reader.graph(reader.read(path))


def _in_float(graph: Graph) -> Iterator[Node]:
    """The operators that compute in float32, see `float_ops`."""
    constants = {key for key, tensor in graph.tensors.items() if tensor.stored_bytes is not None}
    scaling, quantized = {*graph.inputs}, set()
    for node in graph.nodes:
        values = [key for key in node.inputs if key not in constants]
        if node.operator == "DequantizeLinear":
            quantized |= {*node.outputs}
        elif values and all(key in scaling for key in values) and node.operator in (*_MOVES, "Mul", "MUL"):
            scaling |= {*node.outputs}
        elif node.operator in _MOVES and quantized.issuperset(values[:1]):  # behind it may stand a shape
            quantized |= {*node.outputs}
        elif node.operator in _COMPUTES and (len(values) > 1 or node.operator not in ("Add", "ADD")):
            taken = [*values, *(node.inputs[1:2] if node.operator in _LAYERS else ())]
            is_float = graph.tensors[node.outputs[0]].dtype == "float32"
            if is_float and not all(key in quantized for key in taken):
                yield node


def on_devices(path: Path) -> Row:
    """What a .tflite takes of other processors: instructions of an image on an emulated Cortex-A76, and the
    share of its operators that an Ethos-U55-128 leaves to its CPU, by Arm's compiler."""
    bundle = lone.as_bundle(path)
    (variant,) = bundle.manifest.variants
    instructions, npu = (target.run(bundle, variant.name, Plan()).counts for target in _DEVICES)
    return {
        "a76_instructions": statistics.median(instructions["a76_instructions"]),
        "npu_leaves": npu["u55_128_cpu_ops_share"][0],
    }


def right(path: Path, x: NDArray[np.uint8], y: NDArray[Any]) -> tuple[Right, bool]:
    """Which images a file puts into the right class, one of others takes pixels of 0 to 1; and whether its
    engine loads it without optimizations alone."""
    reader = backends.for_path(path)
    file, plain = reader.read(path), False
    try:
        session = reader.open(file, threads=1)
    except ModelFileError:
        session, plain = reader.open_plain(file) or reader.open(file, threads=1), True
    try:
        given = session.input
        images = x if given.dtype == "uint8" else x.astype(np.float32) / np.float32(255)
        found = [session.run(image[np.newaxis]).argmax() for image in images]
    finally:
        session.close()
    hits: Right = np.asarray(found) == y
    return hits, plain


def of_case(
    case: str, data: Path, nncf: Path | None, folder: Path, model: Path | None = None
) -> Iterator[Row]:
    held = slice(-CALIBRATION - with_nncf.VALIDATION, None)
    with np.load(data) as arrays:
        x, y = arrays["x_test"], arrays["y_test"].ravel()
        x_train, y_train = arrays["x_train"][held], arrays["y_train"].ravel()[held]
    if model is not None:
        x, x_train = trained.enlarged(x), trained.enlarged(x_train)
    shown = folder / "data.npz"
    np.savez(shown, x_train=x_train, y_train=y_train, x_test=x, y_test=y)
    words = [str(data), str(folder)] if model is None else [str(shown), str(folder), str(model)]
    script.python(["-m", "edgewright.benchmarks.figures.repair.planted", case, *words], f"preparing {case}")
    alone = jsonio.read(folder / "seconds.json", InputError)
    reference, _ = right(folder / "float32.onnx", x, y)
    found: dict[tuple[str, str], tuple[Path, float]] = {
        ("tflite", "converter-alone"): (folder / "alone.tflite", alone.number("tflite")),
        ("onnx", "converter-alone"): (folder / "alone.onnx", alone.number("onnx")),
    }
    if nncf:
        words = [str(nncf), with_nncf.__file__, str(folder / "float32.onnx"), str(shown), str(folder)]
        subprocess.run(words, check=True, capture_output=True)
        times = jsonio.read(folder / "nncf.json", InputError)
        for way in ("nncf", "nncf-accuracy-control"):
            found["onnx", way] = (folder / f"{way}.onnx", times.number(way))
    for format_ in ("tflite", "onnx"):
        found[format_, "edgewright"] = exported(format_, folder)
    rights = {key: right(path, x, y) for key, (path, _) in found.items()}
    for (format_, way), (path, seconds) in found.items():
        own, plain = rights[format_, way]
        low, high = score_interval(int((reference & ~own).sum()), int((own & ~reference).sum()), len(y))
        row = {
            "case": case,
            "format": format_,
            "way": way,
            "accuracy": float(own.mean()),
            "drop": float(reference.mean() - own.mean()),
            "drop_low": low,
            "drop_high": high,
            "float_ops": float_ops(path),
            "in_8_bits": round(in_8_bits(path), 4),
            "seconds": round(seconds, 1),
            "file_sha256": files.sha256_of(path),
            "data_sha256": files.sha256_of(data),
        }
        row |= {"plain": True} if plain else {}
        if format_ == "tflite":
            row |= on_devices(path)
        if way.startswith("nncf"):  # how much less accurate ours is than this, at the far end
            ours, _ = rights["onnx", "edgewright"]
            lost, won = int((own & ~ours).sum()), int((ours & ~own).sum())
            row["ours_behind_high"] = score_interval(lost, won, len(y))[1]
        console.say(f"{case} {format_} {way}: {row['accuracy']:.4f}, {row['float_ops']} float operators")
        yield row


def exported(format_: str, folder: Path) -> tuple[Path, float]:
    """Our own file, by the command that a user types: that with operators in float32 where one is needed."""
    out = folder / f"bundle-{format_}"
    words = ["-m", "edgewright.runtime", "export", str(folder / "model.keras"), "--out", str(out)]
    words += ["--variants", f"{format_}-int8", "--data", str(folder / "data.npz"), "--input-range=0..1"]
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        script.python(words, "the export", {"EDGEWRIGHT_CACHE": cache}, despite="left out")
        seconds = time.perf_counter() - start
    bundle = Bundle.open(out)
    return bundle.path(bundle.manifest.variants[-1].file), seconds


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--nncf", type=Path, metavar="PYTHON")
    parser.add_argument("--models", type=Path, metavar="FOLDER")
    parser.add_argument("--cases", nargs="+", choices=CASE_ORDER, default=CASE_ORDER)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if lacking := "; ".join(filter(None, (target.missing() for target in _DEVICES))):
        raise InputError(f"expected what files are measured with, got no {lacking}")  # before minutes of work
    models: dict[str, Path | None] = dict.fromkeys(CASES)
    for name in trained.NETWORKS:
        if arguments.models and (path := arguments.models / f"{name}.keras").exists():
            models[name] = path
    surroundings, published = environment.describe(), arguments.out / "repair.json"
    for case in (case for case in models if case in arguments.cases):
        with tempfile.TemporaryDirectory() as folder:
            made = list(of_case(case, arguments.data, arguments.nncf, Path(folder), models[case]))
        rows = [*(row for row in publish.held(published) if row.get("case") != case), *made]
        publish.write(published, surroundings, sorted(rows, key=lambda row: CASE_ORDER.index(row["case"])))
    return 0


if __name__ == "__main__":
    script.run(main)
