"""An open file in OpenVINO: one compiled model with one request, bound to its arrays where shapes are fixed.

OpenVINO computes floats with fewer bits where a processor does that faster, unless it is told not to
(https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/precision-control.html):
scores then part from the file's own, so that is another engine, which has to be asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.runtime.backends import (
    EXACT,
    ModelFile,
    Pixels,
    Scores,
    copied,
    fits,
    rows,
    scores_spec,
    wrong_pixels,
)
from edgewright.runtime.errors import InputError, ModelFileError

_PRECISIONS = {EXACT: "f32", "bf16": "bf16", "f16": "f16"}
_CAPABILITIES = {"bf16": "BF16", "f16": "FP16"}  # what a device says it does well


def engines(openvino: Any) -> Sequence[str]:
    """What this machine's devices offer, each in its arithmetics; `""` is the CPU, exactly."""
    core = openvino.Core()
    found = [""]
    for device in core.available_devices:
        can = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        place = "" if device == "CPU" else f":{device}"
        exact = [place] if "FP32" in can and place else []  # an NPU has none
        found += [*exact, *(f"{place}@{name}" for name, word in _CAPABILITIES.items() if word in can)]
    return found


class OpenVINOSession:
    """`kernels` names the device and what floats are computed in; `openvino` is the package."""

    def __init__(self, openvino: Any, file: ModelFile, threads: int, device: str, arithmetic: str) -> None:
        core, precision = openvino.Core(), _PRECISIONS[arithmetic]
        if device not in (known := core.available_devices):
            raise InputError(f"expected a device of OpenVINO's here, {', '.join(known)}, got '{device}'")
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        if device == "CPU":
            # Threads that are not pinned: several sessions would have theirs on the same core. Weights of 8
            # bits are not multiplied by activations that were rounded too, unless the file says so.
            settings |= {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
            settings |= {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0} if arithmetic == EXACT else {}
        self.input, self.output = file.inputs[0], scores_spec(file.outputs[0])
        self._path, self._dtype = file.path, np.dtype(self.input.dtype)
        self._zero_point, self._scale = np.float32(self.output.zero_point), self.output.scale
        try:
            with copied(file) as place:
                compiled = core.compile_model(core.read_model(str(place)), device, settings)
            computes = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
            self._request = compiled.create_infer_request()
            self._bound = self._bind(openvino, file.outputs[0].shape)
        except (
            Exception
        ) as failure:  # OpenVINO's own exceptions are RuntimeErrors, its plugins' may be others
            reason = " ".join(str(failure).split())
            raise ModelFileError(f"OpenVINO cannot load {file.path}: {reason}") from failure
        if computes != precision:
            raise InputError(
                f"expected a device that computes in {precision} for @{arithmetic}, got {device}, which "
                f"takes {computes} instead; choose another engine of openvino"
            )
        self.kernels = f"openvino-{device.lower().replace('.', '-')}-{precision}"

    def _bind(self, openvino: Any, scores_shape: tuple[int, ...]) -> tuple[Any, Any] | None:
        """Arrays that are the input and the output of a file of fixed shapes."""
        if min(*self.input.shape, *scores_shape) < 1:
            return None
        given, scores = np.zeros(self.input.shape, self._dtype), np.zeros(scores_shape, self.output.dtype)
        self._request.set_input_tensor(openvino.Tensor(given, shared_memory=True))
        self._request.set_output_tensor(openvino.Tensor(scores, shared_memory=True))
        return given, scores

    def run(self, pixels: Pixels) -> Scores:
        if (
            not isinstance(pixels, np.ndarray)
            or pixels.dtype != self._dtype
            or not fits(pixels.shape, self.input.shape)
        ):
            raise wrong_pixels(pixels, self.input)
        request = self._request
        try:
            if self._bound is not None:
                given, scores = self._bound
                given[...] = pixels
                request.infer(share_outputs=True)  # asynchronously it takes longer
            else:
                request.infer([pixels], share_inputs=True)
                scores = request.get_output_tensor().data
        except Exception as failure:  # as above
            reason = " ".join(str(failure).split())
            raise ModelFileError(f"OpenVINO cannot run {self._path}: {reason}") from failure
        scores = rows(scores, self._path, len(pixels), self.output)
        if self.output.dtype == "float32":
            return scores.copy()
        if not self._scale:
            return scores.astype(np.float32)
        return (scores.astype(np.float32) - self._zero_point) * np.float32(self._scale)

    def close(self) -> None:
        self._request = self._bound = None
