"""What `inspect` knows of a model file: what it says of itself, and what its graph adds up to."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.runtime import backends, trust
from edgewright.runtime.backends import Backend, ModelFile, check_single, scores_spec
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.errors import EdgewrightError
from edgewright.runtime.foreign import Given, head_of, hints_of
from edgewright.runtime.graph import Graph, Node


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A file, its contract and its graph. `undelegated` are the nodes that fast kernels leave to plain
    ones here, None where that cannot be told; `reason` says why. `known` says that the file is opened in the
    process that asks, as somebody vouched for it (`edgewright.runtime.trust`)."""

    file: ModelFile
    contract: ModelContract | None
    graph: Graph
    undelegated: tuple[Node, ...] | None
    reason: str = ""
    known: bool = False

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

    def trusted(self) -> str:
        """Where it is opened, and what changes that."""
        if self.known:
            return "yes: it is opened directly"
        return f"no: it runs in a process of its own; edgewright trust {self.file.path} opens it directly"

    def guessed(self) -> list[tuple[str, str]]:
        """Of a file that carries no contract: what its graph and its metadata say all the same."""
        hints, found = hints_of(self.file), []
        try:
            check_single(self.file.path, self.file.inputs, self.file.outputs)
            count = scores_spec(self.file.outputs[0]).shape[1]
            head, (said, *_) = head_of(self.graph, count if count > 0 else 2, Given(), hints)
            found.append(("scores", f"{count if count > 0 else '?'} {head.kind}: {said}"))
        except EdgewrightError:
            found.append(("scores", "no image classifier with one input and one output"))
        if hints.scaling is not None:
            scaling = hints.scaling.value
            told = f"mean {_plain(scaling.mean)}, std {_plain(scaling.std)} of pixels in 0..1"
            if scaling.input_range is not None:
                told = "brought to {:g}..{:g}".format(*scaling.input_range)
            found.append(("pixels", f"{told}, as {hints.scaling.source} says"))
        if hints.threshold is not None:
            found.append(("threshold", f"{hints.threshold.value:g}, as {hints.threshold.source} says"))
        if hints.labels is not None:
            found.append(("labels", f"{', '.join(hints.labels.value)}, as {hints.labels.source} says"))
        return [*found, *(("note", remark) for remark in hints.remarks)]

    def to_json(self) -> dict[str, Any]:
        known, unknown = self.graph.macs()
        undelegated = self.undelegated
        return {
            "file": str(self.file.path),
            "bytes": len(self.file.raw),
            "sha256": self.file.sha256,
            "trusted": self.known,
            **self.file.facts,
            "inputs": [spec.to_json() for spec in self.file.inputs],
            "outputs": [spec.to_json() for spec in self.file.outputs],
            "contract": self.contract and self.contract.to_json(),
            **({} if self.contract else {"guessed": [list(pair) for pair in self.guessed()]}),
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
        left = _undelegated(backend, file, len(graph.nodes))
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
        known=trust.opens_here(file.sha256, backend),
    )


def _undelegated(backend: Backend, file: ModelFile, nodes: int) -> Sequence[int] | None:
    """As the backend says it, in a process of its own for a file that nobody vouched for."""
    if trust.opens_here(file.sha256, backend) or not backend.available():
        return backend.undelegated(file)
    session = trust.isolated(backend, file)
    try:
        return session.undelegated(nodes)
    finally:
        session.close()


def counts(operators: Counter[str]) -> str:
    """Such as "CONV_2D 3, SOFTMAX 1", the most frequent first."""
    ordered = sorted(operators.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in ordered)


def _plain(value: object) -> str:
    return ", ".join(f"{number:.6g}" for number in (value if isinstance(value, Sequence) else [value]))
