"""Which file to ship, by a rule that stands on the page beside the answer.

Only what was measured is compared, and what was not is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewright.benchmarks.report.judged import Words

if TYPE_CHECKING:
    from edgewright.benchmarks.report.facts import Row

NEAR = 1.05  # what is so little slower or larger than the best is as good
_NAMED = 6  # files that are named in a sentence
_RULE = (
    "Of the files that {kept} within the limit, those as fast as the fastest (intervals that overlap, or "
    "within 5 %); of these, those as small as the smallest (within 5 %); of these, the one that is proven to "
    "lose least. Speed counts if at least two of these files were measured in the same place, and one of "
    "every model; a file that was not is then left out."
)


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The file to ship, why in one sentence without its name, and the best of each other format.

    `timed` says if speed was part of the choice; `unmeasured` are the files that keep within the limit and
    whose speed is not known; `rule` is how the choice was made.
    """

    best: Row
    reason: str
    others: tuple[Row, ...]
    timed: bool
    unmeasured: tuple[Row, ...]
    rule: str


def advise(rows: Sequence[Row], words: Words) -> Advice:
    """Choose among the files of one task, at least one."""
    complete = {row.model for row in rows if row.latency} == {row.model for row in rows}
    pool = _within(rows)
    timed = complete and _comparable(pool)
    best = _choose(rows, complete)
    formats = dict.fromkeys(row.format for row in rows if row.format != best.format)
    return Advice(
        best=best,
        reason=_reason(best, rows, timed, words),
        others=tuple(_choose([row for row in rows if row.format == name], complete) for name in formats),
        timed=timed,
        unmeasured=tuple(row for row in pool if not row.latency),
        rule=_RULE.format(kept=words.kept),
    )


def front(rows: Sequence[Row], cost: Callable[[Row], float]) -> list[Row]:
    """The rows that no other one beats in cost and accuracy at once, the cheapest first."""
    found: list[Row] = []
    for row in sorted(rows, key=lambda row: (cost(row), -row.accuracy.value)):
        if not found or row.accuracy.value > found[-1].accuracy.value:
            found.append(row)
    return found


def _within(rows: Sequence[Row]) -> list[Row]:
    """Of those that are proven, or of all if none is, those that keep the best Keras model's accuracy within
    the limit; all if none does."""
    best_keras = max(row.keras_accuracy for row in rows)
    proven = [row for row in rows if row.entry.parity.is_proven] or list(rows)
    return [row for row in proven if row.accuracy.low >= best_keras - row.limit] or proven


def _comparable(pool: Sequence[Row]) -> bool:
    return sum(row.latency is not None for row in pool) > 1


def _choose(rows: Sequence[Row], complete: bool) -> Row:
    pool = _within(rows)
    if complete and _comparable(pool):
        measured = [(row.latency, row) for row in pool if row.latency]
        fastest = min((latency for latency, _ in measured), key=lambda latency: latency.value)
        pool = [row for latency, row in measured if latency.low <= max(fastest.high, NEAR * fastest.value)]
    smallest = min(row.bytes for row in pool)
    pool = [row for row in pool if row.bytes <= NEAR * smallest]
    return min(pool, key=lambda row: (-row.accuracy.low, row.latency.value if row.latency else 0, row.bytes))


def _reason(best: Row, rows: Sequence[Row], timed: bool, words: Words) -> str:
    parts, missing = [], ""
    if best.latency:
        pool = _within(rows)
        parts.append(_speed(best, rows, pool, timed))
        if unmeasured := [row for row in pool if not row.latency]:
            several = len({row.model for row in rows}) > 1
            missing = f"; not measured: {listed(unmeasured, several)}"
    smaller = best.keras_bytes / max(best.bytes, 1)
    shrunk = f"is {smaller:.1f} times smaller than the Keras model ({size(best.bytes)})"
    parts.append(shrunk if smaller > NEAR else f"takes {size(best.bytes)}")
    parts.append(words.outcome(best.entry.parity))
    return f"it {', '.join(parts[:-1])} and {parts[-1]}{missing}"


def _speed(best: Row, rows: Sequence[Row], pool: Sequence[Row], timed: bool) -> str:
    """How fast it is, and among which files that was seen."""
    assert best.latency
    time = f"{milliseconds(best.latency.value)} a picture"
    measured = [row.latency for row in pool if row.latency]
    within = " within the limit" if len(pool) < len(rows) else ""
    if len(measured) == 1 < len(pool):
        return f"is the only one{within} that was measured ({time})"
    if not timed:  # there is nothing else, or another model's files were not measured at all
        return f"takes {time}"
    others = [row.latency for row in pool if row.latency and row is not best]
    fastest = all(best.latency.high < other.low for other in others)
    plain = next((r for r in rows if r.model == best.model and r.name == f"{best.format}-float32"), None)
    gain = ""
    if plain is not None and plain.latency and plain.latency.value > NEAR * best.latency.value > 0:
        gain = f", {plain.latency.value / best.latency.value:.1f} times as fast as {plain.name}"
    among = "the fastest" if fastest else "among the fastest"
    if len(measured) < len(pool):
        among += f" of the {len(measured)} of {len(pool)} files{within} that were measured"
    elif within:
        among += f" of the {len(pool)} files{within}"
    return f"is {among} ({time}{gain})"


def listed(rows: Sequence[Row], several: bool) -> str:
    """The names of files, with their models where there are several; of many the first few."""
    names = [f"{row.name} of {row.model}" if several else row.name for row in rows]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED + 1 else ""
    return ", ".join(names[:_NAMED] if more else names) + more


def milliseconds(value: float) -> str:
    """`0.0123 ms`."""
    return f"{digits(value)} ms"


def digits(value: float) -> str:
    """Three digits that count: `0.0120`, `1.20`, `12.0`, `1,203`."""
    return f"{value:#.3g}".rstrip(".") if value < 999.5 else f"{value:,.0f}"


def size(count: int) -> str:
    """`236 kB`, `1.4 MB`: thousands and millions of bytes."""
    if count < 1000:
        return f"{count} B"
    if count < 999_500:
        return f"{digits(count / 1e3)} kB"
    return f"{digits(count / 1e6)} MB"
