"""An open .onnx file: one session of onnxruntime, bound to its arrays where their shapes are fixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgewright.runtime.backends import ModelFile, Pixels, Scores, fits, rows, scores_spec, wrong_pixels
from edgewright.runtime.errors import InputError, MissingExtraError, ModelFileError

# On x86 without VNNI, sums of two products of unsigned and signed 8-bit numbers saturate at 16 bits, unless
# onnxruntime is told to make all of them unsigned when it loads a file. It has no effect elsewhere.
# https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-and-why-do-i-need-to-try-u8u8
EXACT_PRODUCTS = ("session.x64quantprecision", "1")

_CPU = "CPUExecutionProvider"
# Providers that compute floats with fewer bits unless they are told not to.
_EXACTLY: Mapping[str, Mapping[str, str]] = {"CUDAExecutionProvider": {"use_tf32": "0"}}


class OnnxSession:
    """`kernels` names the provider that computes, all that it does not take being left to the CPU's. A
    `plain` one runs the graph as it is written: operators of floats between 8-bit edges, none fused."""

    kernels = "onnxruntime-cpu"

    def __init__(self, file: ModelFile, threads: int, provider: str = _CPU, *, plain: bool = False) -> None:
        try:
            import onnxruntime
        except ImportError as failure:
            raise MissingExtraError(f"onnxruntime cannot be imported ({failure}); it", "onnx") from failure
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors come as exceptions; nothing is printed
        options.add_session_config_entry(*EXACT_PRODUCTS)
        if plain:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        providers: list[Any] = [_CPU]
        if provider != _CPU:
            if provider not in (known := onnxruntime.get_available_providers()):
                raise InputError(
                    f"expected a provider of the installed onnxruntime, {', '.join(known)}, got '{provider}'"
                )
            providers.insert(0, (provider, dict(_EXACTLY.get(provider, {}))))
        try:
            self._session = onnxruntime.InferenceSession(file.raw, options, providers=providers)
        except Exception as failure:  # onnxruntime's own exceptions share no public base class
            reason = " ".join(str(failure).split())
            raise ModelFileError(f"onnxruntime cannot load {file.path}: {reason}") from failure
        if provider not in self._session.get_providers():  # it goes on without one that it cannot load
            raise InputError(
                f"expected {provider} to work here, got an onnxruntime that fell back to the CPU"
            )
        if provider != _CPU:
            self.kernels = f"onnxruntime-{provider.removesuffix('ExecutionProvider').lower()}"
        self.input, self.output = file.inputs[0], scores_spec(file.outputs[0])
        self._path, self._dtype = file.path, np.dtype(self.input.dtype)
        self._outputs = [self.output.name]
        fixed = min(*self.input.shape, *self.output.shape) > 0 and len(file.outputs[0].shape) == 2
        self._bound = self._bind(onnxruntime) if fixed else None

    def _bind(self, onnxruntime: Any) -> tuple[Any, Any, Any]:
        """The binding of a file of fixed shapes, and arrays that are its input and its output.

        5 % less than `InferenceSession.run` on a small network: nothing is looked up or allocated.
        """
        binding = self._session.io_binding()
        given, scores = (
            np.zeros(self.input.shape, self._dtype),
            np.zeros(self.output.shape, self.output.dtype),
        )
        wrap = onnxruntime.OrtValue.ortvalue_from_numpy  # which copies nothing on the CPU
        binding.bind_ortvalue_input(self.input.name, wrap(given))
        binding.bind_ortvalue_output(self.output.name, wrap(scores))
        return binding, given, scores

    def run(self, pixels: Pixels) -> Scores:
        if (
            not isinstance(pixels, np.ndarray)
            or pixels.dtype != self._dtype
            or not fits(pixels.shape, self.input.shape)
        ):
            raise wrong_pixels(pixels, self.input)
        try:
            if self._bound is not None:
                binding, given, bound = self._bound
                given[...] = pixels
                self._session.run_with_iobinding(binding)
                scores = bound.copy()
            else:
                scores = self._session.run(self._outputs, {self.input.name: pixels})[0]
        except Exception as failure:  # onnxruntime's own exceptions share no public base class
            reason = " ".join(str(failure).split())
            raise ModelFileError(f"onnxruntime cannot run {self._path}: {reason}") from failure
        if self._bound is None:
            scores = rows(scores, self._path, len(pixels), self.output)
        return scores if scores.dtype == np.float32 else scores.astype(np.float32)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._session = self._bound = None
