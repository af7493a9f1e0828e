"""Reads a traced network's graph: what its last op makes of the scores, and which layer an op is in."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from edgewright.runtime.errors import ExportError

_LOOPS = {"While", "StatelessWhile", "LoopCond"}
_CHANNELS_FIRST = "NCHW"
# Ops that hand values on as they are: what they are given decides what the scores mean.
_TRANSPARENT = {"Identity", "Cast", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "EnsureShape"}


class TracedGraph:
    """The ops that scores are computed by, calls inlined, variables as constants."""

    def __init__(self, function: Any, layers: Collection[str]) -> None:
        """`function` is a tf.function with a signature; `layers` are the names a user knows."""
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        self._layers = layers
        outputs = convert_variables_to_constants_v2(function.get_concrete_function()).outputs
        self._last = outputs[0].op
        self._ops: dict[str, Any] = {}
        waiting = [self._last]
        while waiting:
            op = waiting.pop()
            if op.name not in self._ops:
                self._ops[op.name] = op
                waiting.extend(tensor.op for tensor in op.inputs)

    def head(self) -> str:
        """What the last operator makes of the scores: `softmax`, `sigmoid`, or `logits` if it is neither."""
        op = self._last
        while op.type in _TRANSPARENT:
            op = op.inputs[0].op
        return {"Softmax": "softmax", "Sigmoid": "sigmoid"}.get(op.type, "logits")

    def refuse_strings(self) -> None:
        """Raises `ExportError`: text is computed with."""
        for op in self._ops.values():
            if any(tensor.dtype.name == "string" for tensor in (*op.inputs, *op.outputs)):
                raise ExportError(f"expected a network of numbers, got string op {op.type} {self._place(op)}")

    def refuse_channels_first(self) -> None:
        """Raises `ExportError`: an op takes images with channels first, which no processor's kernels do."""
        for op in self._ops.values():
            if "data_format" in op.node_def.attr and op.get_attr("data_format") == _CHANNELS_FIRST.encode():
                raise ExportError(
                    f"expected channels last, got {op.type} with channels first {self._place(op)}; save the "
                    "network with data_format='channels_last'"
                )

    def loops(self) -> str:
        """The place of a loop; empty if there is none."""
        return next((self._place(op) for op in self._ops.values() if op.type in _LOOPS), "")

    def blame(self, failure: Exception) -> str:
        """Why a converter failed: the ops it names with the layers they are in, else its own words."""
        text = own_words(failure)
        named = re.findall(r"(?:TF Select|Custom) ops: ([\w, ]+?)(?= Details|$)", text)
        named += re.findall(r"No Op registered for (\w+)|no op (\w+)", text)
        types = {word for match in named for word in re.findall(r"\w+", str(match))}
        blamed = [op for op in self._ops.values() if op.type in types]
        if not blamed:
            return f"{', '.join(sorted(types))} is not supported" if types else text[:300] or repr(failure)
        places = sorted({f"{op.type} {self._place(op)}" for op in blamed})
        select = " (it would need TF select ops, Flex)" if "TF Select ops" in text else ""
        return f"no such op: {', '.join(places)}{select}"

    def _place(self, op: Any) -> str:
        """The layer whose name scope the op is in; Keras appends _1 to a scope that was used before."""
        for scope in reversed(op.name.split("/")[:-1]):
            for name in (scope, re.sub(r"_\d+$", "", scope)):
                if name in self._layers:
                    return f"in layer '{name}'"
        return f"at '{op.name}'"


def own_words(failure: Exception) -> str:
    """What a failure says, on one line, without the way to it that AutoGraph puts in front."""
    text = str(failure)
    if "in user code:" in text:
        text = re.split(r"\n\s*\n\s*\w+: ", text)[-1]
    return " ".join(text.split())
