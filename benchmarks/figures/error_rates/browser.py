"""Shows that figures of target `browser` say what is so: how often a file is called slower than itself,
and how often a file that is slower by a twentieth is, by a browser's clock.

    python -m edgewright.benchmarks.figures.error_rates.browser BUNDLE:VARIANT… --out DIR [--frames 60]

One page in a Chromium without a window times a file three times over, in turn: twice as it is, once with a
21st run in each 20. Six frames are one comparison, as `edgewright bench` makes it. Then comparisons are drawn
from the blocks that were recorded: the same pairs of frames, any of those that had the same order, and the
second file made slower by the twentieth. A frame is as long as those of `edgewright bench` are. Takes six
minutes a file on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from edgewright.apps.web import assets
from edgewright.benchmarks.figures import publish, script
from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.record.measurement import MODES, Plan
from edgewright.benchmarks.record.stats import Estimate
from edgewright.benchmarks.targets.browser import target, work
from edgewright.benchmarks.targets.browser.posted import ratio_of
from edgewright.runtime import console
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import InputError

EVERY = 20  # runs, and one more
SLOW_DOWN = 1 / EVERY
FRAMES = 6  # of a comparison
SIDES = ("a", "b", "slow")

Blocks: TypeAlias = Sequence[int]  # nanoseconds of a run
Frame: TypeAlias = Mapping[str, Blocks]  # by side, of blocks that stand side by side


def asked(bundle: Bundle, variant: str, frames: int, seconds: float) -> work.Work:
    """What the page is to do: the file under three names, of which the last one has runs more."""
    plan = Plan(processes=frames, seconds=seconds, runs=1)
    made = work.prepare(bundle, (variant,), (plan,))
    job = jsonio.parse(made.files["job.json"], "the job", InputError).data  # type: ignore[arg-type]
    (told,) = job["variants"]
    job["variants"] = [
        {**told, "name": side, **({"every": EVERY} if side == SIDES[-1] else {})} for side in SIDES
    ]
    return dataclasses.replace(
        made,
        variants=[dataclasses.replace(made.variants[0], name=side) for side in SIDES],
        expected=dict.fromkeys(SIDES, made.expected[variant]),
        files={**made.files, "job.json": jsonio.dump(job, indent=None)},
    )


def recorded(bundle: Bundle, variant: str, frames: int, seconds: float) -> tuple[list[Frame], Any]:
    """The blocks of each frame, in the order they were taken, and the step of the browser's clock."""
    engines = assets.ready(None, console.say)
    with console.progress("measuring", total=frames * len(SIDES)) as bar:
        found = target.measured(
            asked(bundle, variant, frames, seconds),
            engines,
            {"headless": "yes"},
            lambda side: bar.advance(note=side),
            console.say,
        )
    by_side = {side: [m.samples_ns["warm_run"] for m in found if m.variant == side] for side in SIDES}
    made: list[Frame] = [
        dict(zip(SIDES, sides, strict=True)) for sides in zip(*by_side.values(), strict=True)
    ]
    return made, found[0].environment["clock_step_ns"]


def compared(frames: Sequence[Frame], slow: bool) -> list[Estimate]:
    """A comparison for each six frames, as they were taken."""
    other = SIDES[2] if slow else SIDES[1]
    whole = range(0, len(frames) - FRAMES + 1, FRAMES)
    told = [ratio_of([(f["a"], f[other]) for f in frames[start : start + FRAMES]]) for start in whole]
    return [one for one in told if one is not None]


def drawn(frames: Sequence[Frame], slow: bool, count: int) -> list[Estimate]:
    """So many comparisons of recorded frames, seeded; the truth is known: nothing, or a twentieth."""
    random, turns = np.random.default_rng(0), len(SIDES)
    factor = 1 + SLOW_DOWN * slow
    same = [[frame for place, frame in enumerate(frames) if place % turns == turn] for turn in range(turns)]
    sides = [[(f["a"], [round(ns * factor) for ns in f["b"]]) for f in group] for group in same]
    found = []
    for _ in range(count):
        taken = {turn: random.permutation(len(sides[turn]))[: FRAMES // turns] for turn in range(turns)}
        told = ratio_of([sides[turn][place] for turn, places in taken.items() for place in places])
        found.extend([told] if told is not None else [])
    return found


def rows(name: tuple[str, str], frames: Sequence[Frame], step_ns: int, count: int) -> list[publish.Row]:
    """A row for each way, drawn or as taken, and truth: how often B is called slower, or without a slow-down
    that there is any difference; the ratio is the middle of all, from the smallest to the largest."""
    made: list[publish.Row] = []
    for how, slow in (("drawn", False), ("drawn", True), ("taken", False), ("taken", True)):
        found = drawn(frames, slow, count) if how == "drawn" else compared(frames, slow)
        hits = sum(e.low > 1 if slow else not e.low <= 1 <= e.high for e in found)
        middles = sorted(e.value for e in found)
        ratio = Estimate(value=float(np.median(middles)), low=middles[0], high=middles[-1])
        made.append(
            {
                "recipe": name[0],
                "variant": name[1],
                "how": how,
                "frames": len(frames),
                "slow_down": SLOW_DOWN * slow,
                "comparisons": len(found),
                "found": hits,
                **publish.ratio(ratio, 4),
                "clock_step_ns": step_ns,
            }
        )
    return made


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="BUNDLE:VARIANT")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=60)
    own = MODES["quick"].plan(1, {}).seconds
    parser.add_argument(
        "--seconds", type=float, default=own, help="of a file in a frame (default: %(default).2f)"
    )
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args(words)
    if arguments.frames < FRAMES:
        raise InputError(f"expected {FRAMES} --frames at least, got {arguments.frames}")
    surroundings = environment.describe()
    made: list[publish.Row] = []
    for text in arguments.models:
        folder, _, variant = text.rpartition(":")
        bundle = Bundle.open(Path(folder))
        frames, step_ns = recorded(bundle, bundle.variant(variant).name, arguments.frames, arguments.seconds)
        found = rows((bundle.manifest.name, variant), frames, step_ns, arguments.draws)
        made += [{**row, "file_sha256": bundle.variant(variant).file.sha256} for row in found]
    publish.write(arguments.out / "browser.json", surroundings, made)
    return 0


if __name__ == "__main__":
    script.run(main)
