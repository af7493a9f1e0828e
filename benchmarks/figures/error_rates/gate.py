"""How often the gate lets a file pass, by simulation: one just at a limit, and one that loses nothing.

    python -m edgewright.benchmarks.figures.error_rates.gate --out benchmarks/figures/results

In a cell a file's true loss is known and 10,000 test sets are drawn. At a limit's bound a file passes by
chance alone; the interval aims at 2.5 %. `discordance` is the share of images on which file and model part.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.benchmarks.figures import publish, script
from edgewright.benchmarks.measure import environment
from edgewright.export.proof.interval import Z, errors_below, score_interval
from edgewright.export.proof.limits import ClassDrops, Limits, judge_agreement
from edgewright.runtime import console

DRAWS = 10_000
IMAGES = (400, 1000, 2000, 5000, 10_000)
CLASSES = 10
_LABELS = tuple("abcdefghij")
Row = Mapping[str, Any]
Counts = NDArray[np.int64]


def share(draws: Iterable[tuple[int, ...]], passes: Callable[..., bool]) -> int:
    """How many draws pass; of equal ones one is judged."""
    known: dict[tuple[int, ...], bool] = {}
    total = 0
    for draw in draws:
        if draw not in known:
            known[draw] = passes(*draw)
        total += known[draw]
    return total


def lost_and_won(
    random: np.random.Generator, images: int, discordance: float, drop: float, draws: int
) -> list[Any]:
    """Of each draw how many images are lost and won, so many `images` with a true `drop`."""
    chances = ((discordance + drop) / 2, (discordance - drop) / 2, 1 - discordance)
    found: Counts = random.multinomial(images, chances, draws)
    return list(map(tuple, found[:, :2].tolist()))


def drops(random: np.random.Generator, draws: int) -> Iterable[Row]:
    """`--max-drop`, at the bound and without any drop."""
    for images in IMAGES:
        for discordance, bound in ((0.005, 0.005), (0.01, 0.01), (0.02, 0.01), (0.05, 0.01), (0.1, 0.01)):

            def passes(lost: int, won: int, n: int = images, limit: float = bound) -> bool:
                return score_interval(lost, won, n)[1] <= limit

            for drop in (bound, 0.0):
                drawn = lost_and_won(random, images, discordance, drop, draws)
                passed = share(drawn, passes)
                yield _row("max-drop", bound, images, discordance, (passed, draws), drop == bound)


def agreements(random: np.random.Generator, draws: int) -> Iterable[Row]:
    """`--min-agreement`, at the bound and with half of that disagreement."""
    for images in IMAGES:
        for discordance in (0.005, 0.01, 0.02, 0.05, 0.1):

            def passes(parted: int, n: int = images, limit: float = 1 - discordance) -> bool:
                return judge_agreement(1 - parted / n, n, limit)[0].verdict == "passed"

            for true in (discordance, discordance / 2):
                drawn = [(int(k),) for k in random.binomial(images, true, draws)]
                passed = (share(drawn, passes), draws)
                yield _row("min-agreement", 1 - discordance, images, true, passed, true == discordance)


def classes(random: np.random.Generator, draws: int) -> Iterable[Row]:
    """`--max-class-drop` with one of ten classes at the bound; and what is refused without it: a class at the
    5 points that make one lost is no error either way, one that is wholly lost, or loses 30 points, is."""
    for images in IMAGES:
        each = images // CLASSES

        def judged(limit: float | None, n: int = each) -> Callable[[int, int], bool]:
            def passes(lost: int, won: int) -> bool:
                sizes = np.full(CLASSES, n)
                found = ClassDrops(
                    images=sizes,
                    right=sizes,
                    lost=np.array([lost] + [0] * (CLASSES - 1)),
                    won=np.array([won] + [0] * (CLASSES - 1)),
                )
                return found.judge(_LABELS, Limits(max_class_drop=limit)).outcome.verdict == "passed"

            return passes

        for discordance, bound in ((0.05, 0.05), (0.1, 0.05), (0.1, 0.1)):
            drawn = lost_and_won(random, each, discordance, bound, draws)
            passed = (share(drawn, judged(bound)), draws)
            yield _row("max-class-drop", bound, images, discordance, passed, True)
        for discordance, loss in ((0.02, 0.0), (0.1, 0.05), (0.3, 0.3), (1.0, 1.0)):
            drawn = lost_and_won(random, each, discordance, loss, draws)
            row = _row("class-lost", 0.05, images, discordance, (share(drawn, judged(None)), draws), False)
            yield {**row, "class_drop": loss}


def calibrations(random: np.random.Generator, draws: int) -> Iterable[Row]:
    """`--max-calibration-drop`, at the bound: images that part change their Brier score much, either way, the
    others a little."""
    bound = 0.01
    for images in (400, 1000, 2000, 10_000):
        for discordance in (0.02, 0.05, 0.1):
            size = 0.6  # of a change, in shares of the largest
            worse = (discordance + bound / size) / 2
            passed = 0
            for _ in range(draws):
                parted = random.random(images) < discordance
                sign = np.where(random.random(images) < worse / discordance, 1.0, -1.0)
                jumps = random.uniform(0.5, 1.5, images) * size * sign
                each = np.where(parted, jumps, random.normal(0, 0.01, images)).astype(np.float64)
                losses: NDArray[np.float64] = each.round(2)
                values, counts = np.unique(losses, return_counts=True)
                shares = counts.astype(np.float64)
                below = float(values @ shares) / images < bound
                passed += below and errors_below(bound, values, shares) >= Z
            yield _row("max-calibration-drop", bound, images, discordance, (passed, draws), True)


def _row(
    limit: str, bound: float, images: int, discordance: float, counted: tuple[int, int], at_bound: bool
) -> Row:
    """`counted` are the draws that pass, of so many."""
    passed, draws = counted
    return {
        "limit": limit,
        "bound": bound,
        "images": images,
        "discordance": discordance,
        "draws": draws,
        "passed": passed,
        "at_bound": at_bound,
    }


def rows(draws: int) -> Iterator[Row]:
    """A row a cell, seeded."""
    random = np.random.default_rng(0)
    for part in (drops, agreements, classes, calibrations):
        yield from part(random, draws)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    surroundings = environment.describe()
    made = []
    for row in rows(DRAWS):
        passed = row["passed"] / row["draws"]
        console.say(
            "{limit} {bound:g}, {images:,} images, discordance {discordance:g}: ".format(**row)
            + f"{passed:.4f}"
        )
        made.append(row)
    worst = max(row["passed"] / row["draws"] for row in made if row["at_bound"])
    publish.write(arguments.out / "gate.json", surroundings, made)
    console.say(f"at the bound at most {worst:.4f} pass")
    return 0


if __name__ == "__main__":
    script.run(main)
