"""Recurrent layers without their loop over time steps.

TensorFlow's calibrator cannot look into a loop: it ends in a segmentation fault. Written out step by step
a static 8-bit file is larger (LSTM of 16 units, 28 steps: 136 KB against 14 KB), so there is a limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgewright.runtime.errors import ExportError

MOST_STEPS = 64


@contextmanager
def unrolled(network: Any) -> Iterator[None]:
    """What is traced in the block has the recurrent layers of `network` written out step by step.

    Raises:
        ExportError: one has more than `MOST_STEPS`, or as many as its input has.
    """
    looping = [layer for layer in network._flatten_layers() if getattr(layer, "unroll", None) is False]
    for layer in looping:
        steps = _steps(layer)
        if steps is None or steps > MOST_STEPS:
            got = "an open number" if steps is None else f"{steps}"
            raise ExportError(
                f"expected at most {MOST_STEPS} steps of layer '{layer.name}', which this scheme has to "
                f"write out as their loop cannot be calibrated, got {got}; take a scheme without calibration"
            )
    for layer in looping:
        layer.unroll = True
    try:
        yield
    finally:
        for layer in looping:
            layer.unroll = False


def _steps(layer: Any) -> int | None:
    """Time steps of the sequences that a recurrent layer was built for, (batch, steps, …)."""
    built = layer.get_build_config() or {}
    shape = built.get("input_shape") or next(iter(built.get("shapes_dict", {}).values()), None)
    return None if shape is None or len(shape) < 2 else shape[1]
