"""Zeros and values are counted in the file, whatever a format stores weights as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export import formats, variants
from edgewright.export.weights import summary as weights
from edgewright.train.datasets import Dataset

BuildConv = Callable[..., Any]
MakeCheckpoint = Callable[..., Path]
Convert = Callable[..., dict[str, Path]]

STORED = {
    "tflite-float32": "f4",
    "tflite-float16": "f2",
    "tflite-dynamic-int8": "i1",
    "tflite-int8": "i1",
    "tflite-weight-int8": "i1",
    "tflite-weight-int4": "i1",
    "onnx-float32": "f4",
    "onnx-int8": "i1",
}


def test_weights_summary_counts_zeros_and_values() -> None:
    found = weights.summary({"a": np.array([[0, 1, 1], [0, 2, 3]]), "b": np.array([[5.0, 0.0]])})
    assert found["zeros"] == pytest.approx(3 / 8)
    assert found["layers"][0] == {
        "name": "a",
        "weights": 6,
        "zeros": 0.3333,
        "values": 4,
        "values_per_channel": 3,
    }


def test_weights_kernels_are_found_in_every_kind_of_file(
    keras: Any, build_conv: BuildConv, make_checkpoint: MakeCheckpoint, convert: Convert, colour: Dataset
) -> None:
    model = build_conv()
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            kernel, *rest = layer.get_weights()
            kernel[..., 1:, :] = 0  # of input channels only the first is left
            layer.set_weights([kernel, *rest])
    checkpoint = make_checkpoint(model, colour, input_range=(-1.0, 1.0))
    files = convert(checkpoint, colour.x_train[:50], list(STORED))
    zeros = {216: 2 / 3, 640: 63 / 64, 18432: 287 / 288}  # by the number of weights
    for name, path in files.items():
        found = formats.get(variants.known()[name].format).weights(path)
        shapes = sorted((array.shape[0], array.size) for array in found.values())
        assert shapes == [(8, 216), (10, 640), (64, 18432)], name
        for array in found.values():
            assert np.mean(array == 0) >= zeros[array.size] - 1e-9, name
            assert array.dtype == STORED[name] or array.size == 640, name  # a small classifier stays float
