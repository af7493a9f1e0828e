"""The program of the process that holds a file in LiteRT's GPU accelerator.

    (started by `engine.py`)

Its first message is the file, each later one the inputs' bytes, one after the other; the parent knows their
shapes, which the file declares. Whatever the accelerator prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.benchmarks.targets.gpu.vulkan import DRIVER, LOADER
from edgewright.runtime.machine.child import receive, send, standard_pipes
from edgewright.runtime.trust import sandbox

_MEMORY_BYTES = 2**33  # addresses, of which SwiftShader reserves more than it fills
_MOST_TOLD = 1000


def main(folder: str = "") -> None:
    """Serve one file until standard input ends.

    Args:
        folder: of a Vulkan in software; the process is sealed then. A real GPU's driver opens devices.
    """
    questions, answers = standard_pipes()
    if folder:
        os.environ["VK_ICD_FILENAMES"] = os.environ["VK_DRIVER_FILES"] = str(Path(folder) / DRIVER)
        ctypes.CDLL(str(Path(folder) / LOADER), ctypes.RTLD_GLOBAL)  # or Dawn would look for the system's
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator

    if folder:
        sandbox.seal(_MEMORY_BYTES)
    model: Any = None
    while (message := receive(questions)) is not None:
        told, raw = message
        try:
            if model is None:
                inputs, outputs = _specs(told["inputs"]), _specs(told["outputs"])
                kept = raw  # the model may refer to it
                model = CompiledModel.from_buffer(kept, hardware_accel=HardwareAccelerator.GPU)
                buffers = model.create_input_buffers(0), model.create_output_buffers(0)
                send(answers, {"whole": bool(model.is_fully_accelerated())})
                continue
            start = 0
            for (dtype, count), buffer in zip(inputs, buffers[0], strict=True):
                array = np.frombuffer(raw, dtype, count, start)
                start += array.nbytes
                buffer.write(array)
            before = time.perf_counter_ns()
            model.run_by_index(0, *buffers)
            found = [
                np.asarray(buffer.read(count, dtype.type))
                for (dtype, count), buffer in zip(outputs, buffers[1], strict=True)
            ]
            taken = time.perf_counter_ns() - before
            send(answers, {"ns": taken}, b"".join(one.astype(one.dtype).tobytes() for one in found))
        except (RuntimeError, ValueError, TypeError, MemoryError) as failure:
            send(answers, {"error": " ".join(str(failure).split())[:_MOST_TOLD] or type(failure).__name__})


def _specs(told: list[Any]) -> list[tuple[np.dtype[Any], int]]:
    """The dtype and the number of elements of each."""
    return [(np.dtype(dtype), int(np.prod(shape))) for dtype, shape in told]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main(*sys.argv[1:])
