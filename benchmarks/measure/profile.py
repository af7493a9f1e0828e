"""How long each operator of a model takes, where the interpreter tells.

onnxruntime writes a trace with the time of every node it ran, fused ones under the names it gave
them. Tracing slows a run of small nodes: read the shares.
LiteRT counts this too, but its Python API has no way to ask for it (2.3).
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime import backends
from edgewright.runtime.backends import ModelFile
from edgewright.runtime.backends.ort.session import EXACT_PRODUCTS

RUNS = 200


def operators(path: Path, images: NDArray[Any], threads: int) -> dict[str, float] | None:
    """Nanoseconds of a run by operator, the slowest first; None where the interpreter tells none.

    Args:
        images: `(n, …)`, as one image goes into the file.
    """
    backend = backends.for_path(path)
    told = backend.module == "onnxruntime" and backend.available()
    return _onnxruntime(backend.read(path), images, threads) if told else None


def _onnxruntime(file: ModelFile, images: NDArray[Any], threads: int) -> dict[str, float]:
    import onnxruntime

    spec = file.inputs[0]
    batch = max(spec.shape[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        options.add_session_config_entry(*EXACT_PRODUCTS)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = onnxruntime.InferenceSession(file.raw, options, providers=["CPUExecutionProvider"])
        for run in range(RUNS):
            pixels = np.repeat(images[run % len(images)][None], batch, axis=0).astype(spec.dtype)
            session.run(None, {spec.name: pixels})
        trace = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return by_operator(trace)


def by_operator(trace: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Nanoseconds by operator, the slowest first, of onnxruntime's trace: the median of each node's runs."""
    taken: dict[str, list[float]] = {}
    operator = {}
    for event in trace:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            taken.setdefault(event["name"], []).append(event["dur"] * 1000)
            operator[event["name"]] = event["args"]["op_name"]
    found: defaultdict[str, float] = defaultdict(float)
    for node, samples in taken.items():
        found[operator[node]] += statistics.median(samples)
    return dict(sorted(found.items(), key=lambda item: -item[1]))
