"""What `inspect` knows of a model file: what it says of itself, and what its graph adds up to."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.runtime import backends, trust
from edgewright.runtime.backends import ModelFile
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.errors import EdgewrightError
from edgewright.runtime.graph import Graph, Node


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A file, its contract and its graph. `undelegated` are the nodes that fast kernels leave to plain
    ones here, None where that cannot be told; `reason` says why."""

    file: ModelFile
    contract: ModelContract | None
    graph: Graph
    undelegated: tuple[Node, ...] | None
    reason: str = ""

    def operators(self) -> str:
        return counts(self.graph.operators())

    def macs(self) -> str:
        known, unknown = self.graph.macs()
        return f"{known:,}" + (f", unknown for {unknown} operators" if unknown else "")

    def peak(self) -> str:
        peak = self.graph.peak_bytes()
        return "unknown: the file leaves shapes out" if peak is None else f"{peak:,}"

    def constants(self) -> str:
        """How many bytes of constants of each dtype."""
        found: Counter[str] = Counter()
        for tensor in self.graph.constants():
            found[tensor.dtype] += tensor.stored_bytes or 0
        return ", ".join(f"{dtype} {size:,}" for dtype, size in found.most_common()) or "none"

    def left(self) -> str:
        """What fast kernels leave to plain ones."""
        if self.undelegated is None:
            return self.reason or "does not apply"
        found = counts(Counter(node.operator for node in self.undelegated))
        return f"takes all but {found}" if found else "takes all operators"

    def to_json(self) -> dict[str, Any]:
        known, unknown = self.graph.macs()
        undelegated = self.undelegated
        return {
            "file": str(self.file.path),
            "bytes": len(self.file.raw),
            "sha256": self.file.sha256,
            **self.file.facts,
            "inputs": [spec.to_json() for spec in self.file.inputs],
            "outputs": [spec.to_json() for spec in self.file.outputs],
            "contract": self.contract and self.contract.to_json(),
            "operators": dict(self.graph.operators()),
            "macs": known,
            "operators_of_unknown_macs": unknown,
            "peak_activation_bytes": self.graph.peak_bytes(),
            "undelegated": undelegated and [node.operator for node in undelegated],
            "layers": [dataclasses.asdict(layer) for layer in self.graph.layers()],
            "tensors": [dataclasses.asdict(tensor) for tensor in self.graph.tensors.values()],
        }


def inspect(path: Path) -> Inspection:
    """Read a whole model file, and see which kernels take it where its interpreter is installed.

    Raises:
        ModelFileError: no model file, or a damaged one.
    """
    backend = backends.for_path(path)
    file = backend.read(path)
    contract, graph = file.contract(), backend.graph(file)
    reason, left = "", None
    try:
        trust.ensure(backend, file)
        left = backend.undelegated(file)
        if left is None and not backend.available():
            reason = f"unknown: run: pip install 'edgewright[{backend.extra}]'"
    except EdgewrightError as failure:
        reason = f"unknown: {failure}"
    return Inspection(
        file=file,
        contract=contract,
        graph=graph,
        undelegated=None if left is None else tuple(graph.nodes[place] for place in left),
        reason=reason,
    )


def counts(operators: Counter[str]) -> str:
    """Such as "CONV_2D 3, SOFTMAX 1", the most frequent first."""
    ordered = sorted(operators.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in ordered)
