"""Quantizes an ONNX model with NNCF, in a Python of its own where Edgewright is not installed.

    python with_nncf.py float32.onnx DATA.npz FOLDER

By `nncf.quantize`, and by `nncf.quantize_with_accuracy_control` with a largest drop of one point on 1,000
training images that do not calibrate. Leaves `nncf.onnx`, `nncf-accuracy-control.onnx` and their seconds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

CALIBRATION, VALIDATION = 256, 1000
MAX_DROP = 0.01


def main(words: list[str]) -> None:
    import nncf
    import onnx
    import onnxruntime

    model, data, folder = onnx.load(words[0]), words[1], Path(words[2])
    with np.load(data) as arrays:
        x, y = arrays["x_train"], arrays["y_train"].ravel()
    shown = x[-CALIBRATION:].astype(np.float32) / np.float32(255)
    held = slice(-CALIBRATION - VALIDATION, -CALIBRATION)
    judged = list(zip(x[held].astype(np.float32) / np.float32(255), y[held].tolist(), strict=True))

    def fed(image: Any) -> dict[str, Any]:
        return {"image": image[np.newaxis]}

    def accuracy(quantized: Any, items: Any) -> tuple[float, list[float]]:
        session = onnxruntime.InferenceSession(quantized.SerializeToString())
        right = [float(session.run(None, fed(image))[0].argmax() == label) for image, label in items]
        return sum(right) / len(right), right

    seconds = {}
    calibration = nncf.Dataset(list(shown), fed)
    start = time.perf_counter()
    onnx.save(nncf.quantize(model, calibration, subset_size=CALIBRATION), folder / "nncf.onnx")
    seconds["nncf"] = time.perf_counter() - start
    start = time.perf_counter()
    controlled = nncf.quantize_with_accuracy_control(
        model,
        calibration,
        nncf.Dataset(judged),
        accuracy,
        subset_size=CALIBRATION,
        max_drop=MAX_DROP,
        drop_type=nncf.DropType.ABSOLUTE,
    )
    onnx.save(controlled, folder / "nncf-accuracy-control.onnx")
    seconds["nncf-accuracy-control"] = time.perf_counter() - start
    (folder / "nncf.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
