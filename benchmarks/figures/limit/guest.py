"""The program that runs the parts of a label one by one, here or in the emulated machine.

    python3 guest.py JOB      (JOB is JSON; see `stages.py`)

Here the processor's time of each part is taken: the least of many blocks, all parts in turn, so that other
load lengthens none.
In the emulated machine a call of `os.sched_yield` before and after each part marks it for QEMU's plugin.
"""

from __future__ import annotations

import gc
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgewright.runtime import preprocess
from edgewright.runtime.contract import InputContract

Part = Callable[[], object]
BLOCK_SECONDS = 0.0005


def parts(job: dict[str, Any]) -> list[Part]:
    """Decode, its floor, resize, the model whole, each operator; then the matrix products of the peaks."""
    raw, contract = Path(job["picture"]).read_bytes(), InputContract(**job["contract"])
    picture = preprocess.decode(raw, contract)
    found: list[Part] = [
        lambda: preprocess.decode(raw, contract),
        lambda: stream(raw),
        lambda: preprocess.fitted(picture, contract),
        *map(_invoke, job["models"]),
    ]
    return found + [_product(path, dtype) for path, dtype in job["products"]]


def stream(raw: bytes) -> None:
    """The least that libjpeg can do: undo the compression, and take each block's mean."""
    picture = Image.open(io.BytesIO(raw))
    picture.draft("L", (picture.width // 8, picture.height // 8))
    picture.load()


def _invoke(path: str) -> Part:
    from ai_edge_litert.interpreter import Interpreter

    from edgewright.runtime.backends.litert.session import hushed

    with hushed():
        interpreter = Interpreter(model_path=path, num_threads=1)
        interpreter.allocate_tensors()
    random = np.random.default_rng(0)
    for given in interpreter.get_input_details():
        values: Any = random.random(given["shape"]) * (1 if given["dtype"] == np.float32 else 100)
        interpreter.set_tensor(given["index"], values.astype(given["dtype"]))
    return lambda: interpreter.invoke()


def _product(path: str, dtype: str) -> Part:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    side = session.get_inputs()[0].shape[0]
    given = {"a": np.random.default_rng(0).integers(0, 100, (side, side)).astype(dtype)}
    return lambda: session.run(None, given)


def timed(found: list[Part], rounds: int) -> list[float]:
    """Seconds of the processor for each."""
    best = [float("inf")] * len(found)
    calls = [
        max(1, round(BLOCK_SECONDS / max(min(_block(part, 1) for _ in range(3)), 1e-9))) for part in found
    ]
    for _ in range(rounds):
        for place, part in enumerate(found):
            best[place] = min(best[place], _block(part, calls[place]))
    return best


def _block(part: Part, calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        part()
    return (time.process_time() - start) / calls


def main(job: dict[str, Any]) -> None:
    found = parts(job)
    gc.disable()
    if job["rounds"]:
        Path(job["out"]).write_text(json.dumps(timed(found, job["rounds"])))
        return
    mark = os.sched_yield
    for part in found:
        part()
        mark()
        part()
        mark()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
