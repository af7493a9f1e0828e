"""Is B slower than A? Two model files measured in turn, and the ratio of their times with its interval.

What shifts a time by some per cent and is no property of the model: drift of the machine (other load,
frequency), and the process (where its memory came to lie). So the unit is a *pair* of fresh processes,
one of A, one of B, on one core, which run blocks by turns; in each turn lots are drawn for who is
first. A block gives its median run, a turn the ratio of two blocks that stand side by side, a pair the
median of its turns: drift is the same for both. Over pairs the ratio gets the interval of Wilcoxon's
signed-rank test (`stats.paired_ratio`). If A and B are the same, the logarithm of a pair's ratio is as
likely to be above 0 as below by the same amount, so the interval misses 1 in at most 1 of 100
comparisons, however the noise is distributed.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from edgewright.benchmarks.compare.measuring import Side, Worker
from edgewright.benchmarks.record.measurement import MOST_THREADS
from edgewright.benchmarks.record.notes import gather
from edgewright.benchmarks.record.stats import Estimate, paired_ratio
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import InputError

CONFIDENCE = 0.99


@dataclass(frozen=True, kw_only=True)
class Design:
    """`pairs` of fresh processes, `turns` of one block each, `block_seconds` a block. Raises `InputError`: a
    number of threads that cannot be."""

    threads: int = 1
    pairs: int = 12
    turns: int = 12
    block_seconds: float = 0.008
    warmup_seconds: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= MOST_THREADS:
            raise InputError(f"expected 1 to {MOST_THREADS} threads, got {self.threads}")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """B's time divided by A's, with its 99 % interval; the median run of each in nanoseconds.

    `blocks_ns` are the raw medians of blocks, by pair, turn and side (A, B). `notes` name what disturbed.
    """

    ratio: Estimate
    a_ns: float
    b_ns: float
    blocks_ns: list[list[tuple[float, float]]]
    notes: list[str]

    @property
    def differs(self) -> bool:
        return not self.ratio.low <= 1 <= self.ratio.high

    def verdict(self) -> str:
        """Such as "B is 5.2 % slower [4.1 %, 6.3 %]"."""
        low, high = self.ratio.low - 1, self.ratio.high - 1
        if not self.differs:
            return f"no difference: B takes {self.ratio.value - 1:+.1%} [{low:+.1%}, {high:+.1%}]"
        word = "slower" if self.ratio.value > 1 else "faster"
        ends = sorted((abs(low), abs(high)))
        return f"B is {abs(self.ratio.value - 1):.1%} {word} [{ends[0]:.1%}, {ends[1]:.1%}]"


def side(text: str, size: tuple[int, int] | None = None) -> Side:
    """What a word of the command line means: BUNDLE:VARIANT, BUNDLE (its recommended variant), or a file.

    Raises:
        BundleError, UnknownNameError: no such bundle or variant.
        InputError: nothing of that name.
    """
    from edgewright.runtime.predictor import recommended

    path, variant = Path(text), ""
    if not path.exists() and ":" in text:
        before, _, variant = text.rpartition(":")
        path = Path(before)
    if path.is_dir():
        bundle = Bundle.open(path)
        entry = bundle.variant(variant) if variant else recommended(bundle)
        return Side(name=f"{bundle.manifest.name}:{entry.name}", path=bundle.path(entry.file), bundle=path)
    if variant or not path.is_file():
        raise InputError(f"expected BUNDLE:VARIANT, a bundle folder or a model file, got '{text}'")
    return Side(name=path.name, path=path, size=size)


def summarise(blocks_ns: ArrayLike, notes: Sequence[str] = ()) -> Comparison:
    """What the medians of blocks say.

    Args:
        blocks_ns: `(pairs, turns, 2)`, above 0.
    """
    blocks = np.asarray(blocks_ns, np.float64)
    ratios = np.exp(np.median(np.log(blocks[..., 1]) - np.log(blocks[..., 0]), axis=1))
    a_ns, b_ns = np.median(blocks, axis=(0, 1))
    return Comparison(
        ratio=paired_ratio(ratios.tolist(), CONFIDENCE),
        a_ns=float(a_ns),
        b_ns=float(b_ns),
        blocks_ns=blocks.tolist(),
        notes=gather((("", note) for note in notes), {""}),
    )


def compare_models(
    a: str | Path,
    b: str | Path,
    *,
    threads: int = 1,
    size: tuple[int, int] | None = None,
    done: Callable[[], None] = lambda: None,
) -> Comparison:
    """Say whether B is slower than A on this machine; `Comparison.verdict` puts it in words. Takes a minute.

    Args:
        a: `BUNDLE:VARIANT`, a bundle folder (its recommended variant), or a model file.
        b: what is compared with it, the same.
        threads: of the interpreter.
        size: height and width, of files that take pictures of any.
        done: called after each of the pairs of processes.

    Raises:
        BundleError, UnknownNameError: no such bundle or variant.
        InputError: nothing of that name, or a number of threads that cannot be.
        EdgewrightError: a file that cannot be run.
    """
    return compare(side(str(a), size), side(str(b), size), Design(threads=threads), done=done)


def compare(
    a: Side, b: Side, design: Design, *, seed: int = 0, done: Callable[[], None] = lambda: None
) -> Comparison:
    """Measure both; `done` is called after each pair.

    Raises:
        EdgewrightError: a file that cannot be run.
    """
    lots = random.Random(seed)

    def lot() -> list[int]:
        return lots.sample((0, 1), 2)

    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    found: list[list[tuple[float, float]]] = []
    notes: list[str] = []
    for pair in range(design.pairs):
        core = cores[pair % len(cores)] if cores and design.threads == 1 else None
        with contextlib.ExitStack() as stack:
            workers = {
                place: stack.enter_context(Worker((a, b)[place], design.threads, core)) for place in lot()
            }
            for place in lot():
                workers[place].warm(design.warmup_seconds)
            turns: list[tuple[float, float]] = []
            for _ in range(design.turns):
                taken = {place: workers[place].block(design.block_seconds) for place in lot()}
                turns.append((taken[0], taken[1]))
            found.append(turns)
            notes += [note for worker in workers.values() for note in worker.notes()]
        done()
    return summarise(found, notes)
