"""What might run a bundle here: each engine with each proven variant that it takes, on so many threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.runtime import backends
from edgewright.runtime.backends import EXACT
from edgewright.runtime.bundle.manifest import Bundle, VariantEntry


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """`engine` as `backends.get` takes it; `arithmetic` is the engine's; `by_default` is true of the engine
    that runs such a file unless another is asked for."""

    entry: VariantEntry
    engine: str
    arithmetic: str
    threads: int
    by_default: bool

    @property
    def name(self) -> str:
        """Such as "tflite-int8 on openvino, 2 threads"."""
        return f"{self.entry.name} on {self.engine}, {self.threads} thread{'s' * (self.threads > 1)}"


def candidates(
    bundle: Bundle, engines: Sequence[str], threads: Sequence[int], variants: Sequence[str] = ()
) -> list[Candidate]:
    """All of them, an engine that runs a variant by default before others of that variant.

    Fewer bits change nothing where most is computed in 8 bits already, so such variants have exact engines.

    Raises:
        UnknownNameError: a variant that there is not.
    """
    chosen = [bundle.variant(name) for name in variants] or list(bundle.manifest.variants)
    found = []
    for entry in (entry for entry in chosen if entry.parity.is_proven):
        path = Path(entry.file.file)
        own = backends.for_path(path)
        for engine in sorted(engines, key=lambda engine: backends.get(engine) is not own):
            backend = backends.get(engine)
            if path.suffix.lower() not in backend.suffixes:
                continue
            if backend.arithmetic != EXACT and entry.arithmetic != "float32":
                continue
            found += [
                Candidate(
                    entry=entry,
                    engine=engine,
                    arithmetic=backend.arithmetic,
                    threads=count,
                    by_default=backend is own,
                )
                for count in (threads if not backend.device else threads[:1])
            ]
    return found
