"""What moved between two editions of the published figures, by how much, and whether that is noise.

    python -m edgewright.benchmarks.figures.pedigree.moved BEFORE AFTER

Two folders of results. A figure with an interval has moved beyond noise if the two intervals do not overlap;
of counts (draws that pass, comparisons that find) it is Wilson's; without an interval any change is told.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.record.stats import Estimate
from edgewright.runtime import console
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import InputError
from edgewright.runtime.evaluation.metrics import wilson

Row = Mapping[str, Any]
Key = tuple[object, ...]

# What tells the rows of a file apart.
_KEYS = {
    "train": "recipe data seed",
    "choices": "recipe seed",
    "export": "recipe data seed variant",
    "int4": "recipe data variant",
    "bench": "recipe variant target threads metric",
    "gpu": "recipe variant",
    "webgpu": "recipe variant",
    "gate": "limit bound images discordance at_bound class_drop",
    "repair": "case format way",
    "reliability": "attack",
    "guests": "model format scheme",
    "proof": "recipe",
    "runtime": "name against",
    "limit": "recipe variant machine stage",
    "float16": "recipe engine",
    "peers": "recipe peer variant",
    "engines": "recipe what arithmetic",
    "transfer": "recipe data way",
    "compare": "machine slow_down",
    "browser": "recipe variant how slow_down",
    "mutants": "name",
}
# A figure, and the ends of its interval; a count, and of how many.
_INTERVALS = (
    ("value", "low", "high"),
    ("ratio", "ratio_low", "ratio_high"),
    ("drop", "drop_low", "drop_high"),
    ("agreement", "agreement_low", "agreement_high"),
    ("calibration_drop", "calibration_drop_low", "calibration_drop_high"),
    ("worst_class_drop", "worst_class_drop_low", "worst_class_drop_high"),
    ("p50_ms", "low_ms", "high_ms"),
)
_COUNTS = (("passed", "draws"), ("found", "comparisons"))
_ENDS = {end for names in _INTERVALS for end in names[1:]} | {count for _, count in _COUNTS}
# Circumstances, and what follows from other keys.
_NO_FIGURES = {
    "code",
    "file_sha256",
    "against_sha256",
    "data_sha256",
    "seconds",
    "rounds",
    "unit",
    "killed_by",
}


@dataclass(frozen=True, kw_only=True)
class Move:
    """A figure of a row that is another than before; `beyond` noise or not, None where nobody knows."""

    row: str
    figure: str
    before: str
    after: str
    change: str
    beyond: bool | None

    def __str__(self) -> str:
        return f"{self.row}, {self.figure}: {self.before} -> {self.after}{self.change}"


@dataclass(frozen=True, kw_only=True)
class Moves:
    """What became of the rows of a file."""

    rows: int
    same: int
    moves: Sequence[Move]
    new: Sequence[str]
    gone: Sequence[str]

    @property
    def beyond(self) -> list[Move]:
        """Those that are not noise, or of which nobody knows."""
        return [move for move in self.moves if move.beyond is not False]


def moves(kind: str, before: Sequence[Row], after: Sequence[Row]) -> Moves:
    """What moved between two editions of a results file.

    Raises:
        InputError: nobody knows what tells its rows apart.
    """
    if kind not in _KEYS:
        raise InputError(f"expected results of {', '.join(_KEYS)}, got {kind}")
    old, new = _by_key(kind, before), _by_key(kind, after)
    found: dict[Key, list[Move]] = {
        key: [] if row == old[key] else list(_of_row(_told(key), old[key], row))
        for key, row in new.items()
        if key in old
    }
    return Moves(
        rows=len(after),
        same=sum(not made for made in found.values()),
        moves=[move for made in found.values() for move in made],
        new=[_told(key) for key in new if key not in old],
        gone=[_told(key) for key in old if key not in new],
    )


def _by_key(kind: str, rows: Sequence[Row]) -> dict[Key, Row]:
    found: dict[Key, Row] = {}
    for row in rows:
        key: Key = tuple(_plain(row.get(name)) for name in _KEYS[kind].split())
        count = sum(other[: len(key)] == key for other in found) if key in found else 0
        found[(*key, count + 1) if count else key] = row
    return found


def _plain(value: object) -> object:
    """A name that says how many there were, without."""
    return (
        re.sub(r"\(?\b[\d,]+ (pictures\)?|keep\b|with\b)", r"n \1", value)
        if isinstance(value, str)
        else value
    )


def _told(key: Key) -> str:
    return " ".join(str(part) for part in key if part is not None)


def _of_row(name: str, before: Row, after: Row) -> Iterator[Move]:
    intervals: dict[str, tuple[Estimate | None, Estimate | None]] = {
        names[0]: (_interval(before, names), _interval(after, names)) for names in _INTERVALS
    }
    intervals |= {count[0]: (_share(before, *count), _share(after, *count)) for count in _COUNTS}
    for figure in dict.fromkeys((*before, *after)):
        if figure in _ENDS or figure in _NO_FIGURES or before.get(figure) == after.get(figure):
            continue
        was, now = before.get(figure), after.get(figure)
        one, other = intervals.get(figure, (None, None))
        if one and other:
            beyond = one.low > other.high or other.low > one.high
            change = f", {other.value / one.value - 1:+.1%}" if one.value else ""
            yield Move(
                row=name, figure=figure, before=_shown(one), after=_shown(other), change=change, beyond=beyond
            )
        elif figure == "reason" or isinstance(was, list):
            continue  # words about figures, which are told themselves
        else:
            numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (was, now))
            change = f", {now / was - 1:+.1%}" if numbers and was else ""
            yield Move(row=name, figure=figure, before=f"{was}", after=f"{now}", change=change, beyond=None)


def _interval(row: Row, names: tuple[str, str, str]) -> Estimate | None:
    ends = [row.get(name) for name in names]
    if any(end is None for end in ends):
        return None
    value, low, high = (float(row[name]) for name in names)
    return Estimate(value=value, low=low, high=high)


def _share(row: Row, count: str, of: str) -> Estimate | None:
    if row.get(count) is None or not row.get(of):
        return None
    return Estimate(**vars(wilson(row[count], row[of])))


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def _rows(path: Path) -> list[Row]:
    return [row.data for row in jsonio.read(path, InputError).objects("rows")] if path.exists() else []


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    arguments = parser.parse_args(words)
    for folder in (arguments.before, arguments.after):
        if not folder.is_dir():
            raise InputError(f"expected a folder of results, got {folder}")
    names = sorted({path.name for folder in vars(arguments).values() for path in folder.glob("*.json")})
    for name in names:
        found = moves(Path(name).stem, _rows(arguments.before / name), _rows(arguments.after / name))
        noise = len(found.moves) - len(found.beyond)
        console.say(
            f"{name}: {found.same} of {found.rows} rows as they were; {noise} figures moved within noise, "
            f"{len(found.beyond)} beyond or without interval; {len(found.new)} rows new, "
            f"{len(found.gone)} gone"
        )
        for line in (
            *found.beyond,
            *(f"new: {row}" for row in found.new),
            *(f"gone: {r}" for r in found.gone),
        ):
            console.say(f"  {line}")
    return 0


if __name__ == "__main__":
    script.run(main)
