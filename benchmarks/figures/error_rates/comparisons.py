"""Shows that `edgewright compare` says what is so: with simulated noise, and with one real model.

    python -m edgewright.benchmarks.figures.error_rates.comparisons BUNDLE:VARIANT --out DIR

Of A against itself it has to find no difference 95 times in 100, of A against itself with a true
slow-down of 5 % that B is slower 90 times in 100. The slow-down is a wait after each run for 5 % of the
time it took. Takes ten minutes on a machine that does nothing else; after `--minutes` it writes what it has.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.benchmarks.compare import comparison as compare
from edgewright.benchmarks.compare.measuring import Side
from edgewright.benchmarks.figures import publish, script
from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.record.stats import paired_ratio
from edgewright.runtime import console
from edgewright.runtime.disk import files

SLOW_DOWN = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise:
    """What a simulated machine does to the logarithm of a block's time; more than real ones were seen to do.

    `layout` is the standard deviation between processes, `drift` that of a step of a random walk from
    block to block, `jitter` that between blocks; with a chance of `busy` a turn begins or ends a spell
    in which the blocks of one side or the other are hit, log-normally, by `hit`.
    """

    layout: float
    drift: float
    jitter: float
    busy: float = 0.0
    hit: float = 0.0


MACHINES = {
    "quiet": Noise(layout=0.008, drift=0.0005, jitter=0.005),
    "shared": Noise(layout=0.015, drift=0.01, jitter=0.03, busy=0.1, hit=0.2),
    "drifting": Noise(layout=0.02, drift=0.05, jitter=0.02),
}


def simulate(
    noise: Noise, slow_down: float, design: compare.Design, random: np.random.Generator
) -> NDArray[np.float64]:
    """Medians of blocks as `compare.summarise` takes them, `(pairs, turns, 2)` in nanoseconds."""
    shape = (design.pairs, design.turns, 2)
    logs = random.normal(0, noise.jitter, shape) + random.normal(0, noise.layout, (design.pairs, 1, 2))
    walk = np.cumsum(random.normal(0, noise.drift, (design.pairs, design.turns * 2)), axis=1).reshape(shape)
    swapped = random.random((design.pairs, design.turns, 1)) < 0.5  # lots for who is first
    logs += np.where(swapped, walk[..., ::-1], walk)
    spells = np.cumsum(random.random(shape[:2]) < noise.busy, axis=1) % 2 == 1
    hits = np.abs(random.normal(0, noise.hit, shape)) * (random.random(shape) < 0.5)
    logs += np.where(spells[..., None], hits, 0.0)
    logs[..., 1] += np.log1p(slow_down)
    return np.asarray(1e5 * np.exp(logs))


def simulated(machine: str, slow_down: float, count: int) -> float:
    """The share of `count` simulated comparisons that find a difference; seeded."""
    random, design = np.random.default_rng(0), compare.Design()
    drawn = (simulate(MACHINES[machine], slow_down, design, random) for _ in range(count))
    return _found(map(compare.summarise, drawn), slow_down) / count


def measured(
    model: Side, count: int, minutes: float
) -> tuple[list[compare.Comparison], list[compare.Comparison]]:
    """So many comparisons of A with itself, and with itself slowed down, by turns; fewer if time is up."""
    same, slower = (dataclasses.replace(model, slow_down=share) for share in (0.0, SLOW_DOWN))
    design, end = compare.Design(), time.monotonic() + 60 * minutes
    both: tuple[list[compare.Comparison], list[compare.Comparison]] = ([], [])
    for seed in range(count):
        for b, results in ((same, both[0]), (slower, both[1])):
            results.append(compare.compare(same, b, design, seed=seed))
            console.say(f"{seed + 1} of {count}: {'A/B' if b is slower else 'A/A'} {results[-1].verdict()}")
        if time.monotonic() > end:
            console.say(f"stopped after {minutes} minutes")
            break
    return both


def _found(comparisons: Iterable[compare.Comparison], slow_down: float) -> int:
    """How many say that B is slower, or without a slow-down that there is any difference."""
    return sum(c.ratio.low > 1 if slow_down else c.differs for c in comparisons)


def rows(model: Side, count: int, minutes: float, simulations: int) -> list[Mapping[str, Any]]:
    """A row for each machine, simulated or this one, without and with the slow-down; of this one the ratio
    over all comparisons, from the smallest to the largest (`stats.paired_ratio`)."""
    shares = (0.0, SLOW_DOWN)
    made: list[Mapping[str, Any]] = []
    for machine, share in itertools.product(MACHINES, shares):
        hits = round(simulated(machine, share, simulations) * simulations)
        common = {"machine": f"simulated, {machine}", "slow_down": share, "comparisons": simulations}
        made.append({**common, "found": hits})
    for share, results in zip(shares, measured(model, count, minutes), strict=True):
        ratio = paired_ratio([result.ratio.value for result in results], confidence=1)
        common = {"machine": f"this one, {model.name}", "slow_down": share, "comparisons": len(results)}
        behind = {"file_sha256": files.sha256_of(model.path)}
        made.append({**common, "found": _found(results, share), **publish.ratio(ratio, 4), **behind})
    return made


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--comparisons", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--simulations", type=int, default=10_000)
    arguments = parser.parse_args(words)
    surroundings = environment.describe()
    model = compare.side(arguments.model)
    published = rows(model, arguments.comparisons, arguments.minutes, arguments.simulations)
    publish.write(arguments.out / "compare.json", surroundings, published)
    return 0


if __name__ == "__main__":
    script.run(main)
