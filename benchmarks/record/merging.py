"""Puts what is measured beside what was measured before: of other files, elsewhere, with more threads.

What is measured again takes the place of what was; measurements of files that have changed are dropped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from edgewright.benchmarks.record import record as records
from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.record.record import Key, Record
from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import EdgewrightError, InputError

Files: TypeAlias = Mapping[str, tuple[str, int]]  # the SHA-256 and bytes of a bundle's files, by variant


@dataclass(frozen=True, kw_only=True)
class Added:
    """What `add` did: the file it wrote, and how much of what was measured before stands in it: what of this
    machine, how many measured files of others, and why the rest was dropped, by variant."""

    path: Path
    kept: tuple[Key, ...] = ()
    elsewhere: int = 0
    dropped: Mapping[str, str] = dataclasses.field(default_factory=dict)


def check_place(path: Path, bundle: str) -> None:
    """See that measurements of `bundle` can be added to the file at `path`, before any is taken.

    Raises:
        InputError: a folder, or measurements of another bundle.
        BundleError: a file that is none of bench's, or damaged.
        OutputError: nothing can be written there.
    """
    files.check_file(path)
    if path.exists():
        _read(path, bundle)


def add(
    path: Path, found: Record, plans: Sequence[Plan], present: Files, others: Sequence[Record] = ()
) -> Added:
    """Write what was found into the file at `path`, beside what it holds of the files that are `present`.

    `others` were found at the same time, each on another machine.

    The file is read and written while nobody else adds to it. If it has become another one since
    `check_place`, or would be larger than is ever read, what was found goes into a new one beside it.
    """
    found, *others = (records.planned(one, plans) for one in (found, *others))
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        try:
            before = _read(path, found.bundle) if path.exists() else ()
        except EdgewrightError:
            return _aside(path, [found, *others])
        held, dropped = current(before, present)
        for one in reversed(others):
            held = merge(one, held)
        here, *elsewhere = merge(found, held)
        raw = records.dump([here, *elsewhere])
        if len(raw) > jsonio.MAX_BYTES:
            return _aside(path, [found, *others])
        files.write_file(path, raw)
    return Added(
        path=path,
        kept=tuple(key for key in here.by_key() if key not in found.by_key()),
        elsewhere=sum(len(one.by_key()) for one in elsewhere) - sum(len(one.by_key()) for one in others),
        dropped=dropped,
    )


def current(before: Sequence[Record], present: Files) -> tuple[tuple[Record, ...], dict[str, str]]:
    """What was measured of files that are still the same, and why the rest is of no use, by variant."""
    kept: list[Record] = []
    dropped: dict[str, str] = {}
    for one in before:
        stale = {m.variant: why for m in one.measurements if (why := _changed(one, m.variant, present))}
        dropped |= stale
        if left := [m for m in one.measurements if m.variant not in stale]:
            kept.append(_only(one, left))
    return tuple(kept), dropped


def merge(found: Record, before: Sequence[Record]) -> tuple[Record, ...]:
    """A record a machine, that of `found` first: what is in it takes the place of the same in `before`.

    What was counted, not timed, does not depend on the machine that counts.
    """
    new = found.by_key()
    counted = {key for key, measured in new.items() if not any(m.samples_ns for m in measured)}
    others = []
    for one in before:
        here = records.same_machine(one.environment, found.environment)
        again = new.keys() if here else counted
        left = [
            m
            for m in one.measurements
            if (m.variant, m.target, m.threads) not in again or (m.samples_ns and not here)
        ]
        if not left:
            continue
        rest = _only(one, left)
        if not here:
            others.append(rest)
            continue
        found = dataclasses.replace(
            found,
            measurements=[*rest.measurements, *found.measurements],
            models={**rest.models, **found.models},
            peaks={**rest.peaks, **found.peaks},
            profiles={**rest.profiles, **found.profiles},
            plans=(*found.plans, *(plan for plan in rest.plans if plan not in found.plans)),
        )
    return (found, *others)


def _read(path: Path, bundle: str) -> tuple[Record, ...]:
    held = records.read_records(path)
    if held[0].bundle != bundle:
        raise InputError(
            f"expected measurements of '{bundle}' in {path}, got those of '{held[0].bundle}'; "
            "move it away or choose another --out"
        )
    return held


def _changed(before: Record, variant: str, present: Files) -> str:
    """Why measurements of a variant are of no use any more; empty if they are."""
    if variant not in present:
        return "is not in the bundle"
    sha256, size = present[variant]
    model = before.models.get(variant)
    same = model is None or (model.bytes == size and model.sha256 in ("", sha256))
    return "" if same else "was another file then"


def _only(one: Record, measurements: Sequence[Measurement]) -> Record:
    """The record with these measurements alone, and what belongs to them."""
    names, threads = {m.variant for m in measurements}, {m.threads for m in measurements}

    def of(found: Mapping[Any, Any], keys: set[Any]) -> dict[Any, Any]:
        return {key: value for key, value in found.items() if key in keys}

    return dataclasses.replace(
        one,
        measurements=measurements,
        models=of(one.models, names),
        peaks=of(one.peaks, threads),
        profiles=of(one.profiles, names),
        plans=tuple(plan for plan in one.plans if plan.get("threads") in threads),
    )


def _aside(path: Path, found: Sequence[Record]) -> Added:
    """Write what was found alone, into the first free of FILE-2.json, FILE-3.json, …"""
    number = 2
    while (free := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        number += 1
    files.write_file(free, records.dump(found))
    return Added(path=free)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until nobody else writes measurements into `folder`; where the system has no locks, go on."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
