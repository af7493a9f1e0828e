"""Before 8-bit training: depthwise channels of one range, and ranges that no rounding has bent."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.slow

# tf_keras and Keras 3 do not share a process well; what the passes work on is tf_keras.
_CODE = """
import json, sys
import numpy as np
from edgewright.train.stack import import_tf_keras, import_tfmot
keras = import_tf_keras()
import_tfmot()
from edgewright.export.passes import qat
layers = keras.layers
keras.utils.set_random_seed(1)
model = keras.Sequential(
    [keras.Input((8, 8, 6)), layers.DepthwiseConv2D(3, use_bias=False),
     layers.BatchNormalization(trainable=False), layers.ReLU(6.0), layers.GlobalAveragePooling2D(),
     layers.Dense(4)]
)
depthwise, norm = model.layers[0], model.layers[1]
kernel = depthwise.depthwise_kernel.numpy()
kernel *= np.array([1, 700, 5, 1, 0, 30]).reshape(1, 1, 6, 1)
depthwise.depthwise_kernel.assign(kernel)
norm.moving_variance.assign([0.3, 9e4, 4, 0.01, 1, 500]); norm.moving_mean.assign([0.1, -50, 1, 0, 3, 9])
images = np.random.default_rng(0).normal(size=(32, 8, 8, 6)).astype("float32")
before = model.predict(images, verbose=0)
qat._equalize(model)
after = model.predict(images, verbose=0)
found = depthwise.depthwise_kernel.numpy().reshape(9, 6)

from tensorflow_model_optimization.python.core.quantization.keras import quant_ops
quantized = import_tfmot().quantization.keras.quantize_model(model)
rounding = quant_ops._FakeQuantWithMinMaxVars
qat._start_ranges(quantized, [images[:16], images[16:]])
print(json.dumps({
    "difference": float(abs(before - after).max()),
    "ranges": abs(found).max(axis=0).tolist(),
    "rms": [float(np.sqrt((k**2).mean())) for k in (kernel, found)],
    "variables": {v.name.partition(":")[0]: v.numpy().tolist() for v in quantized.weights},
    "last": [float(x) for x in (np.mean([after[:16].min(), after[16:].min()]),
                                np.mean([after[:16].max(), after[16:].max()]))],
    "mean": norm.moving_mean.numpy().tolist(),
    "restored": quant_ops._FakeQuantWithMinMaxVars is rounding,
}))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", _CODE], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_qat_channels_of_a_depthwise_kernel_get_one_range_and_the_scores_stay(found: dict[str, Any]) -> None:
    assert found["difference"] < 1e-4
    alive = [most for most in found["ranges"] if most]
    assert len(alive) == 5  # a channel of zeros stays one
    assert max(alive) == pytest.approx(min(alive), rel=1e-4)
    assert found["rms"][1] == pytest.approx(found["rms"][0], rel=1e-4)


def test_qat_last_range_is_that_of_scores_nothing_was_rounded_for(found: dict[str, Any]) -> None:
    low, high = found["last"]
    variables = found["variables"]
    (first,) = [value for name, value in variables.items() if name.endswith("dense/post_activation_min")]
    (last,) = [value for name, value in variables.items() if name.endswith("dense/post_activation_max")]
    assert (first, last) == pytest.approx((min(low, 0), max(high, 0)), rel=0.02)
    assert found["restored"]


def test_qat_kernels_have_their_range_before_the_first_step(found: dict[str, Any]) -> None:
    (least,) = [value for name, value in found["variables"].items() if name.endswith("depthwise_kernel_min")]
    assert least == pytest.approx([-max(found["ranges"])], rel=0.05)


def test_qat_measuring_ranges_leaves_batch_normalization_as_it_was(found: dict[str, Any]) -> None:
    (mean,) = [value for name, value in found["variables"].items() if name.endswith("moving_mean")]
    assert mean == pytest.approx(found["mean"])
