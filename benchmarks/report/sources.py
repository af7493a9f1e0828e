"""What a report is of: bundles and lone model files, and the measurements that are theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.benchmarks.record import measurement, merging, record
from edgewright.benchmarks.record.record import Record
from edgewright.benchmarks.report import judged
from edgewright.runtime import backends
from edgewright.runtime.bundle.manifest import MANIFEST, Bundle
from edgewright.runtime.disk import files
from edgewright.runtime.errors import BundleError, InputError


@dataclass(frozen=True, kw_only=True)
class Given:
    """One thing that a report is of: a bundle, or a file that is in none."""

    path: Path
    bundle: Bundle | None
    sha256: str = ""
    bytes: int = 0

    @staticmethod
    def open(path: Path) -> Given:
        """Raises `BundleError`, `InputError`, `ModelFileError`."""
        if path.is_file():
            backends.for_path(path)
            return Given(path=path, bundle=None, sha256=files.sha256_of(path), bytes=path.stat().st_size)
        if path.suffix and not path.exists():
            raise InputError(f"expected bundle folders and model files, got {path}, which does not exist")
        bundle = Bundle.open(path)
        _check(bundle)
        return Given(path=path, bundle=bundle)

    @property
    def name(self) -> str:
        return self.bundle.manifest.name if self.bundle else self.path.stem

    def present(self, records: Sequence[Record]) -> merging.Files:
        """Its files, by the variants they may be called in the records."""
        if self.bundle:
            return {v.name: (v.file.sha256, v.file.bytes) for v in self.bundle.manifest.variants}
        return {m.variant: (self.sha256, self.bytes) for one in records for m in one.measurements}

    def holds(self, bench: Record) -> bool:
        """Whether any of its files was measured there."""
        return bool(merging.current([bench], self.present([bench]))[0])


def names(given: Sequence[Given]) -> list[str]:
    """What each is called: its model or file, and where two are of one name also where it lies."""
    called = [one.name if one.bundle else one.path.name for one in given]
    return [n if called.count(n) == 1 else f"{n} ({one.path})" for n, one in zip(called, given, strict=True)]


def records(given: Sequence[Given], benches: Sequence[Path]) -> list[tuple[Record, ...]]:
    """What was measured of each: in the files of `benches` that hold it, else in the one beside it."""
    named: dict[int, tuple[Record, ...]] = {}
    for path in benches:
        found = record.read_records(path)
        own = [i for i, one in enumerate(given) if one.name == found[0].bundle]
        if len(own) > 1:
            own = [i for i in own if any(map(given[i].holds, found))]
        if len(own) != 1:
            which = "several of them are" if own else "none is"
            raise InputError(
                f"expected {path} to hold measurements of one of the bundles or files, got those of "
                f"'{found[0].bundle}', as which {which} known here"
            )
        before = named.get(own[0], ())
        for one in reversed(found):
            before = merging.merge(one, before)
        named[own[0]] = before
    beside = [measurement.default_out(one.path) for one in given]
    read = record.read_records
    return [named.get(i) or (read(path) if path.exists() else ()) for i, path in enumerate(beside)]


def _check(bundle: Bundle) -> None:
    """Raises `BundleError` if shares are no shares: nothing could be drawn."""
    manifest = bundle.manifest
    least = 0 if judged.of(manifest).is_share else -1
    sound = least <= manifest.reference["accuracy"] <= 1
    for entry in manifest.variants:
        p = entry.parity
        sound &= -1 <= p.drop_low <= p.drop <= p.drop_high <= 1
        sound &= least <= p.accuracy <= 1 and 0 <= p.agreement <= 1
    if not sound:
        raise BundleError(
            "expected accuracies from 0 to 1 and drops within their intervals in "
            f"{bundle.folder / MANIFEST}, got others; export the model again"
        )
