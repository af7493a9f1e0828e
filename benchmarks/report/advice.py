"""Which file to ship, by a rule that stands on the page beside the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgewright.benchmarks.report.facts import Row

NEAR = 1.05  # what is so little slower or larger than the best is as good
RULE = (
    "Of the files that keep the accuracy of the best Keras model within the limit, those as fast as the "
    "fastest (intervals that overlap, or within 5 %); of these, those as small as the smallest (within 5 %); "
    "of these, the one whose accuracy is proven to lose least. Speed is left out unless all models were "
    "measured."
)


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The file to ship, why in one sentence without its name, and the best of each other format; `timed`
    says if speed was known of every model."""

    best: Row
    reason: str
    others: tuple[Row, ...]
    timed: bool


def advise(rows: Sequence[Row]) -> Advice:
    """Choose among the files of one task, at least one."""
    timed = {row.model for row in rows if row.latency} == {row.model for row in rows}
    best = _choose(rows, timed)
    formats = dict.fromkeys(row.format for row in rows if row.format != best.format)
    return Advice(
        best=best,
        reason=_reason(best, rows, timed),
        others=tuple(_choose([row for row in rows if row.format == name], timed) for name in formats),
        timed=timed,
    )


def front(rows: Sequence[Row], cost: Callable[[Row], float]) -> list[Row]:
    """The rows that no other one beats in cost and accuracy at once, the cheapest first."""
    found: list[Row] = []
    for row in sorted(rows, key=lambda row: (cost(row), -row.accuracy.value)):
        if not found or row.accuracy.value > found[-1].accuracy.value:
            found.append(row)
    return found


def _choose(rows: Sequence[Row], timed: bool) -> Row:
    best_keras = max(row.keras_accuracy for row in rows)
    pool = [row for row in rows if row.accuracy.low >= best_keras - row.limit] or list(rows)
    measured = [(row.latency, row) for row in pool if row.latency and timed]
    if measured:
        fastest = min((latency for latency, _ in measured), key=lambda latency: latency.value)
        pool = [row for latency, row in measured if latency.low <= max(fastest.high, NEAR * fastest.value)]
    smallest = min(row.bytes for row in pool)
    pool = [row for row in pool if row.bytes <= NEAR * smallest]
    return min(pool, key=lambda row: (-row.accuracy.low, row.latency.value if row.latency else 0, row.bytes))


def _reason(best: Row, rows: Sequence[Row], timed: bool) -> str:
    parts = []
    if best.latency and timed:
        others = [r.latency.value for r in rows if r.latency and r is not best]
        fastest = all(best.latency.value <= other for other in others)
        plain = next((r for r in rows if r.model == best.model and r.name == f"{best.format}-float32"), None)
        gain = ""
        if plain is not None and plain.latency and plain.latency.value > NEAR * best.latency.value > 0:
            gain = f", {plain.latency.value / best.latency.value:.1f} times as fast as {plain.name}"
        among = "the fastest" if fastest else "among the fastest"
        parts.append(f"is {among} ({milliseconds(best.latency.value)} a picture{gain})")
    smaller = best.keras_bytes / max(best.bytes, 1)
    shrunk = f"is {smaller:.1f} times smaller than the Keras model ({size(best.bytes)})"
    parts.append(shrunk if smaller > NEAR else f"takes {size(best.bytes)}")
    parity = best.entry.parity
    parts.append(
        f"gets {percent(parity.accuracy)} of {parity.samples:,} test pictures right, where the Keras model "
        f"gets {percent(parity.accuracy + parity.drop)}"
    )
    return f"it {', '.join(parts[:-1])} and {parts[-1]}"


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


def percent(share: float) -> str:
    """`99.14 %`."""
    return f"{100 * share:.2f} %"
