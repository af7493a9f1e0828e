"""What one would write by hand without the runtime: the bare interpreters, and a ten-line script for each.

The runtime is compared with these in the same process (`overhead.py`), so they do what it does
with nothing around it: no check, no dequantization, no labels.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgewright.runtime.backends.ort.session import EXACT_PRODUCTS

Run: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[Any]]


def litert(path: Path) -> Run:
    """set_tensor, invoke, get_tensor, on one thread; gives the output as the file has it."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    output = interpreter.get_output_details()[0]["index"]

    def run(pixels: NDArray[np.uint8]) -> NDArray[Any]:
        interpreter.set_tensor(given, pixels)
        interpreter.invoke()
        found: NDArray[Any] = interpreter.get_tensor(output)
        return found

    return run


def onnx_run(path: Path) -> Run:
    """`InferenceSession.run`, on one thread."""
    session = _onnx_session(path)
    given, outputs = session.get_inputs()[0].name, [session.get_outputs()[0].name]

    def run(pixels: NDArray[np.uint8]) -> NDArray[Any]:
        found: NDArray[Any] = session.run(outputs, {given: pixels})[0]
        return found

    return run


def onnx_bound(path: Path) -> Run:
    """`run_with_iobinding` on arrays that were bound once; its result is overwritten by the next call."""
    import onnxruntime

    session = _onnx_session(path)
    given, output = session.get_inputs()[0], session.get_outputs()[0]
    image, scores = np.zeros(given.shape, np.uint8), np.zeros(output.shape, np.float32)
    binding = session.io_binding()
    binding.bind_ortvalue_input(given.name, onnxruntime.OrtValue.ortvalue_from_numpy(image))
    binding.bind_ortvalue_output(output.name, onnxruntime.OrtValue.ortvalue_from_numpy(scores))

    def run(pixels: NDArray[np.uint8]) -> NDArray[Any]:
        image[...] = pixels
        session.run_with_iobinding(binding)
        return scores

    return run


def _onnx_session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry(*EXACT_PRODUCTS)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def pixels_of(raw: bytes, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Pillow's decoding of a whole picture, and its resizing: uint8 `(1, height, width, channels)`."""
    picture = Image.open(io.BytesIO(raw)).convert("L" if channels == 1 else "RGB")
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(1, height, width, channels)


# python -c SCRIPT FILE IMAGE LABELS
LITERT_SCRIPT = """
import sys
import numpy as np
from PIL import Image
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
given, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
_, height, width, channels = given["shape"]
picture = Image.open(sys.argv[2]).convert("L" if channels == 1 else "RGB").resize((width, height), 2)
interpreter.set_tensor(given["index"], np.asarray(picture).reshape(given["shape"]))
interpreter.invoke()
scores = interpreter.get_tensor(output["index"])[0]
labels = open(sys.argv[3]).read().splitlines()
print([(labels[i], scores[i]) for i in np.argsort(scores)[:-4:-1]])
"""

ONNX_SCRIPT = """
import sys
import numpy as np
import onnxruntime
from PIL import Image
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
given = session.get_inputs()[0]
_, height, width, channels = given.shape
picture = Image.open(sys.argv[2]).convert("L" if channels == 1 else "RGB").resize((width, height), 2)
scores = session.run(None, {given.name: np.asarray(picture).reshape(given.shape)})[0][0]
labels = open(sys.argv[3]).read().splitlines()
print([(labels[i], scores[i]) for i in np.argsort(scores)[:-4:-1]])
"""
