"""Climbs from the cheapest cure to the dearest until a static 8-bit file holds the limit.

Bias correction is in every file. Then layers are equalized, activations get the ranges of least squared
error, weights are rounded anew for the least error of what each layer gives, and last, in a file of another
name, operators stay in float32: the last dense layer, then those that lose most when each alone is quantized.
(Leaving one out shows less: of two layers that share a bad tensor, each still loses without the other.) Then
weights are rounded anew, and what is freed and turns out not to be needed is quantized again. What became of
planted faults is published: docs/figures/repair.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgewright.export.formats import Conversion, Mendable, Operation, Quantizer, Remedy
from edgewright.export.repair.evidence import Evidence, Seen
from edgewright.runtime.errors import ExportError, ModelFileError
from edgewright.train.datasets import Images

PLAIN = "plain, biases corrected"
EQUALIZED = "cross-layer equalization"
RANGES = "ranges of least squared error"
ROUNDED = "adaptive rounding"
LAST_DENSE = "last dense layer in float32"
FREED = "operators in float32"
TAKEN_BACK = "fewer operators in float32"
_DENSE = ("FULLY_CONNECTED", "Gemm", "MatMul")
_FEW = 4  # operators up to which biases are corrected anew to see what comes of freeing one more
_MOST_FREED = 0.5  # of the layers; beyond that a float16 file is the better one


class NeedlessError(ExportError):
    """A file with operators in float32 is not needed: all may stay in 8 bits."""


@dataclass(frozen=True, kw_only=True)
class _Rung:
    name: str
    remedy: Remedy
    seen: Seen
    kept: bool

    def to_json(self, operations: Sequence[Operation]) -> dict[str, Any]:
        freed = sum(not o.moves for o in operations if o.name in self.remedy.free)
        return {
            "rung": self.name,
            **self.seen.to_json(),
            "kept": self.kept,
            **({"freed": freed} if self.remedy.free else {}),
        }


class Ladder:
    """The repairs of one network's static 8-bit file of one format. `folder` is for files that are tried."""

    def __init__(
        self,
        chosen: Mendable,
        scheme: str,
        network: Any,
        calibration: Images,
        again: Images,
        evidence: Evidence,
        folder: Path,
    ) -> None:
        """`calibration` is for the plain file, `again` for whatever is tried after it."""
        self._format, self._scheme, self._network = chosen, scheme, network
        self._calibration, self._again, self._evidence = calibration, again, evidence
        self._trial = folder / f"trial{chosen.suffix}"
        self._quantizer: Quantizer | None = None
        self._rungs: list[_Rung] = []
        self._best: _Rung | None = None
        self._failed = ""
        self.began = False

    def integer(self, path: Path) -> Conversion:
        """Write the file in which all is in 8 bits: the plain one where nothing is wrong with it, or where
        it cannot be repaired."""
        conversion = self._format.export(self._network, self._scheme, self._calibration, path)
        self.began = True
        self._network.began("looking whether it needs repair")
        try:
            seen = self._evidence.look(path)
        except ModelFileError:  # the gate will say so
            return conversion
        self._best = plain = _Rung(name=PLAIN, remedy=Remedy(), seen=seen, kept=True)
        self._rungs = [plain]
        if self._evidence.shows_loss(seen):
            self._network.began("repairing it")
            try:
                if not self._network.clustered:  # scaled, a codebook is none
                    self._try(EQUALIZED, replace(self._best.remedy, equalized=True))
                if not self.holds:
                    self._try(RANGES, replace(self._best.remedy, ranges=True))
                if not self.holds:
                    self._round()
                if self._best is not plain:
                    conversion = self._write(self._best.remedy, path)
            except Exception as failure:  # a converter raises what it likes; there is a file
                self._best, self._failed = (
                    plain,
                    f"{type(failure).__name__}: {' '.join(str(failure).split())[:200]}",
                )
        return self._recorded(conversion)

    @property
    def needs_floats(self) -> bool:
        """Whether the best file with all in 8 bits, see `integer`, still loses too much."""
        if self._best is None or self._failed:
            return False
        plain = len(self._rungs) == 1
        return self._evidence.shows_loss(self._best.seen) if plain else not self.holds

    @property
    def holds(self) -> bool:
        assert self._best is not None
        return self._evidence.holds(self._best.seen)

    def mixed(self, path: Path) -> Conversion:
        """Write the file in which what 8 bits lose too much in stays in float32; after `integer`.

        Raises:
            ExportError: even with half of the layers in float32 it loses too much.
        """
        assert self._best is not None
        operations = self._made.operations
        self._network.began("finding what 8 bits lose most in")
        if dense := [o.name for o in operations if o.kind in _DENSE and o.products and not o.fixed]:
            self._try(LAST_DENSE, replace(self._best.remedy, ranges=False, free=frozenset(dense[-1:])))
        if not self.holds:
            self._free(operations)
        self._round()
        self._take_back(operations)
        free = self._best.remedy.free
        if not self.holds:
            raise ExportError(
                f"with up to half of its layers in float32 it still loses {self._best.seen.drop:.4f} of "
                f"{len(self._evidence.images):,} training images; take float16 or float32"
            )
        conversion = self._recorded(self._write(self._best.remedy, path))
        freed = [o for o in operations if o.name in free]
        floats = sum(o.products for o in operations if o.fixed or o.name in free)
        share = 1 - floats / max(1, sum(o.products for o in operations))
        chosen = {
            **conversion.chosen,
            "float32": ", ".join(f"{o.kind} {_short(o.name)}" for o in freed),
            "why": "8 bits lose too much there",
            "multiplications_in_8_bits": round(share, 4),
        }
        return replace(conversion, chosen=chosen)

    def _free(self, operations: Sequence[Operation]) -> None:
        """Free what loses most, until the limit holds."""
        assert self._best is not None
        # Narrow ranges were for what is freed now, and so may codes have been.
        start = replace(self._best.remedy, ranges=False, rounded=False)
        ranked = self._ranked(operations, replace(start, free=frozenset()))
        layers = {o.name for o in operations if o.products}
        names: list[str] = [*start.free]
        for name in [name for name in ranked if name not in start.free]:
            if len(layers.intersection([*names, name])) > max(1, len(layers) * _MOST_FREED):
                break
            names.append(name)
            freeing = self._freeing(start, operations, names)
            if self._evidence.holds(self._seen(freeing, refined=len(names) <= _FEW)):
                break
        self._try(FREED, self._freeing(start, operations, names))

    def _take_back(self, operations: Sequence[Operation]) -> None:
        """Quantize what need not be free, the largest first."""
        assert self._best is not None
        remedy = self._best.remedy
        freed = [o for o in operations if o.name in remedy.free and not o.moves]
        names = [o.name for o in freed]
        for name in (o.name for o in sorted(freed, key=lambda o: -o.products)):
            fewer = [other for other in names if other != name]
            if not fewer or not self.holds:
                break
            tried = self._freeing(remedy, operations, fewer)
            seen = self._seen(tried)
            if self._evidence.holds(seen):
                names = fewer
                self._best = _Rung(name=TAKEN_BACK, remedy=tried, seen=seen, kept=True)
                self._rungs.append(self._best)

    def _round(self) -> None:
        """Round weights anew; those of a clustered network would no longer be its codebook's."""
        assert self._best is not None
        if not (self._best.remedy.rounded or self._network.clustered):
            self._try(ROUNDED, replace(self._best.remedy, rounded=True))

    def _ranked(self, operations: Sequence[Operation], remedy: Remedy) -> list[str]:
        """Operators that compute, by the error when each alone is quantized, the largest first."""
        everything = {operation.name for operation in operations if not operation.fixed}
        errors = {
            o.name: self._tried(
                replace(remedy, free=frozenset(everything - {o.name})), self._evidence.glance, refined=False
            )
            for o in operations
            if not o.moves and not o.fixed
        }
        return sorted((name for name in errors if errors[name] > 0), key=lambda name: -errors[name])

    @staticmethod
    def _freeing(remedy: Remedy, operations: Sequence[Operation], names: Sequence[str]) -> Remedy:
        """With what only moves numbers between two that are freed."""
        free = {*names}
        written = {tensor for o in operations if o.name in free for tensor in o.writes}
        for o in operations:  # from the front
            if o.moves and not o.fixed and written.intersection(o.reads):
                written.update(o.writes)
        read = {tensor for o in operations if o.name in free for tensor in o.reads}
        for o in reversed(operations):
            if o.moves and not o.fixed and read.intersection(o.writes):
                read.update(o.reads)
                if written.intersection(o.reads):
                    free.add(o.name)
        return replace(remedy, free=frozenset(free))

    def _try(self, name: str, remedy: Remedy) -> None:
        """Keep it if it brings the file clearly closer, and one that holds still does."""
        assert self._best is not None
        seen = self._seen(remedy)
        kept = seen.closer_than(self._best.seen) and (self._evidence.holds(seen) or not self.holds)
        rung = _Rung(name=name, remedy=remedy, seen=seen, kept=kept)
        self._rungs.append(rung)
        if rung.kept:
            self._best = rung

    def _seen(self, remedy: Remedy, *, refined: bool = True) -> Seen:
        seen: Seen = self._tried(remedy, self._evidence.look, refined=refined)
        return seen

    def _tried(self, remedy: Remedy, look: Callable[[Path], Any], *, refined: bool) -> Any:
        converted = self._made.model(remedy, refined=refined)
        self._format.write(self._network, self._scheme, converted, self._trial)
        try:
            return look(self._trial)
        finally:
            self._trial.unlink()

    def _write(self, remedy: Remedy, path: Path) -> Conversion:
        return self._format.write(self._network, self._scheme, self._made.model(remedy), path)

    @property
    def _made(self) -> Quantizer:
        if self._quantizer is None:
            make = self._format.schemes[self._scheme].quantizer
            assert make is not None
            self._quantizer = make(self._network, self._again)
        return self._quantizer

    def _recorded(self, conversion: Conversion) -> Conversion:
        operations = self._made.operations if any(rung.remedy.free for rung in self._rungs) else ()
        repair = {
            "images": len(self._evidence.images),
            "labelled": self._evidence.truth is not None,
            "rungs": [rung.to_json(operations) for rung in self._rungs],
            **({"failed": self._failed} if self._failed else {}),
        }
        return replace(conversion, chosen={**conversion.chosen, "repair": repair})


def _short(name: str) -> str:
    """The first of the operations that a converter fused."""
    return name.partition(";")[0]
