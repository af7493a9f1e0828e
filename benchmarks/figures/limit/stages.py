"""What each stage of a label costs on a machine, and what that machine's peak would make of it.

The stages are decoding and resizing of a JPEG, and the file's operators by kind, each operator alone; what
the whole file takes beyond their sum is `between`. The peak of operators and of resizing is that of one large
matrix product (`measure.cost`), of int8 or float32 as the file computes; that of decoding is to undo the
compression alone.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import edgewright.runtime
from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.limit import cutting
from edgewright.benchmarks.figures.publish import Row
from edgewright.benchmarks.measure import cost
from edgewright.benchmarks.targets.arm64.machine import Machine, last_line
from edgewright.benchmarks.targets.arm64.processors import Processor
from edgewright.runtime import backends
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import EdgewrightError, TargetError
from edgewright.runtime.graph import Node

Job: TypeAlias = Mapping[str, Any]
Measure: TypeAlias = Callable[[Job, Path], list[float]]
KINDS = {"CONV_2D": "convolution", "DEPTHWISE_CONV_2D": "depthwise", "FULLY_CONNECTED": "dense"}
STAGES = ("decode", "resize", *KINDS.values(), "other", "between")
ARITHMETIC = ("float32", "int8")
_GUEST = Path(__file__).with_name("guest.py")


def rows_of(bundle: Bundle, variant: str, jpeg: bytes, size: tuple[int, int], measure: Measure) -> list[Row]:
    """A row a stage of one variant on one machine.

    Args:
        jpeg: a picture of `size`, width and height, that is not scaled while it is decoded.
        measure: runs a job of `guest.py` in a folder and gives the cost of its parts in their order.
    """
    entry = bundle.variant(variant)
    path = bundle.path(entry.file)
    backend = backends.for_path(path)
    nodes = backend.graph(backend.read(path)).nodes
    contract = bundle.manifest.input
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        job: dict[str, Any] = {
            "picture": str(_put(folder / "picture.jpg", jpeg)),
            "contract": asdict(contract),
            "models": [str(path.resolve())],
            "products": [],
            "out": str(folder / "out.json"),
        }
        for place, alone in enumerate(cutting.operators(path.read_bytes())):
            job["models"].append(str(_put(folder / f"{place}.tflite", alone)))
        for arithmetic in ARITHMETIC:
            dtype, raw = _product(arithmetic)
            job["products"].append([str(_put(folder / f"{arithmetic}.onnx", raw)), dtype])
        found = measure(job, folder)
    decode, stream, resize, whole, *rest = found
    each, products = rest[: len(nodes)], rest[len(nodes) :]
    peaks = dict(zip(ARITHMETIC, (cost.SIZE**3 / product for product in products), strict=True))
    total = decode + resize + whole
    of_kind: dict[str, list[tuple[Node, float]]] = {}
    for node, taken in zip(nodes, each, strict=True):
        of_kind.setdefault(KINDS.get(node.operator, "other"), []).append((node, taken))
    stages: list[tuple[str, int, float, int, float | None]] = [
        ("decode", 0, decode, 0, stream),
        ("resize", 0, resize, *_at_peak(resize_macs(size, contract), peaks["float32"])),
    ]
    for kind in (*KINDS.values(), "other"):
        parts = of_kind.get(kind, [])
        macs, taken = sum(node.macs or 0 for node, _ in parts), sum(taken for _, taken in parts)
        least = _at_peak(macs, peaks[entry.arithmetic]) if kind != "other" else (0, None)
        stages.append((kind, len(parts), taken, *least))
    stages.append(("between", 0, whole - sum(each), 0, None))
    return [
        {
            "stage": stage,
            "operators": count,
            "cost": taken,
            "share": taken / total,
            "macs": macs,
            "peak_share": None if least is None or not taken else least / taken,
            "left": max(0.0, taken - (least or 0.0)) / total,
        }
        for stage, count, taken, macs, least in stages
    ]


def _at_peak(macs: int, peak: float) -> tuple[int, float]:
    return macs, macs / peak


def resize_macs(size: tuple[int, int], contract: InputContract) -> int:
    """Multiplications of Pillow's two passes: a bilinear filter reaches a step of the output to each side."""
    (width, height), channels = size, contract.channels
    return (
        2 * channels * (height * max(width, contract.width) + contract.width * max(height, contract.height))
    )


def _put(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


def _product(arithmetic: str) -> tuple[str, bytes]:
    """The input's dtype, and the file."""
    operator, left, right, product = cost.KERNELS[arithmetic]
    b = np.random.default_rng(0).integers(0, 100, (cost.SIZE, cost.SIZE)).astype(right)
    return left, cost.matrix_product(operator, left, b, product)


def here(job: Job, folder: Path, rounds: int) -> list[float]:
    """Seconds of each part on this machine, in a process of its own."""
    words = [str(_GUEST), json.dumps({**job, "rounds": rounds})]
    script.python(words, "the program that times the parts", {"OMP_NUM_THREADS": "1"}, error=EdgewrightError)
    taken: list[float] = json.loads((folder / "out.json").read_text())
    return taken


def emulated(machine: Machine, processor: Processor, job: Job, folder: Path) -> list[float]:
    """Instructions of each part on an emulated processor.

    Raises:
        TargetError: the program in the machine failed, or QEMU cannot count.
    """
    if not machine.about["counts"]:
        raise TargetError(
            "expected a QEMU that counts instructions, got one without plugins; Debian 12's has"
        )
    (folder / "edgewright").mkdir(exist_ok=True)
    if not (link := folder / "edgewright/runtime").exists():
        link.symlink_to(Path(edgewright.runtime.__file__).resolve().parent)
    marks = folder / "marks"
    done = machine.run(
        processor,
        ("-P", str(_GUEST), json.dumps({**job, "rounds": 0})),
        marks=marks,
        environment={"PYTHONPATH": os.pathsep.join((str(folder), str(machine.folder / "site")))},
    )
    if done.returncode != 0:
        raise TargetError(f"the parts on {processor.title}: {last_line(done)}")
    counted = [int(line) for line in marks.read_text().split()]
    return [float(after - before) for before, after in zip(counted[::2], counted[1::2], strict=True)]


def machines(rounds: int, machine: Machine | None, processors: Sequence[Processor]) -> dict[str, Measure]:
    """How to measure on each machine: this one, and the emulated ones."""
    found: dict[str, Measure] = {"here": partial(here, rounds=rounds)}
    if machine is not None:
        found |= {one.name: partial(emulated, machine, one) for one in processors}
    return found
