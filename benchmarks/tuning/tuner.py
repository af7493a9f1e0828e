"""Finds what runs a bundle fastest here, of what may be chosen, and remembers it.

Each candidate is first judged and timed for a moment, in a process of its own. Those that are near the
fastest, and what runs by default, then meet: in each of several rounds every one of them has a fresh process,
and these run blocks by turns, whose order is drawn by lot. A round gives the median over its turns of what a
candidate takes of the one it is compared with; over rounds that ratio has the interval of Wilcoxon's
signed-rank test, as in `edgewright compare`. What is not shown to be slower, within `SAME`, yields to what
takes fewer threads, to the default engine and to the bundle's own order; for latency further threads have to
bring `threads.WORTH`, as `threads="auto"` has it.
"""

from __future__ import annotations

import contextlib
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewright.benchmarks.compare.measuring import Side, Worker
from edgewright.benchmarks.record.stats import Estimate, paired_ratio, percentile
from edgewright.benchmarks.tuning import offered
from edgewright.benchmarks.tuning.candidates import Candidate, candidates
from edgewright.benchmarks.tuning.judging import FAILED, PASSED, Answers, Verdict, verdict
from edgewright.runtime import backends
from edgewright.runtime.backends import EXACT, Pixels, Scores
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import EdgewrightError, InputError
from edgewright.runtime.machine import threads as machine
from edgewright.runtime.machine import tuned
from edgewright.runtime.machine.tuned import Choice, Tuned
from edgewright.runtime.predictor import recommended
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

Done = Callable[[str, int, int, str], None]  # stage, steps done, steps in all, what is done now
NEAR = 1.3  # of the fastest at first sight: what is slower is not looked at again
SAME = 1.02
_FINALISTS = 5  # of each arithmetic
_SIGHTS = 5  # blocks at first sight, of which the fastest counts


@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """`purpose` is what has to be least: `latency`, the time of an image; `throughput`, the time an image
    takes of all cores, each busy; `memory`, the peak of a process. `threads` are tried each, by default 1, 2,
    4, … to all cores; `images` as `tuning.images.read` gives them; `variants` of the bundle, by default all.
    """

    purpose: str = "latency"
    threads: tuple[int, ...] = ()
    variants: tuple[str, ...] = ()
    images: Pixels | None = field(default=None, repr=False)
    rounds: int = 7
    turns: int = 8
    block_seconds: float = 0.02
    warmup_seconds: float = 0.3


DEFAULTS = TuneOptions()


@dataclass(frozen=True, kw_only=True)
class Row:
    """A candidate: `value` is what it took, nanoseconds an image or bytes, None if it did not run or may not
    be chosen; `ratio` how many times what runs by default it takes, of those that met."""

    candidate: Candidate
    verdict: Verdict
    value: Estimate | None = None
    ratio: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What was found: a `record` to remember, all `rows`, and why whole backends are not among them."""

    record: Tuned
    rows: list[Row]
    left_out: Mapping[str, str]


def tune(
    folder: Path | str, options: TuneOptions = DEFAULTS, *, done: Done = lambda stage, step, steps, note: None
) -> Tuning:
    """Measure, and remember what `load(folder, engine="fastest")` takes from now on. About a minute.

    Raises:
        BundleError, UnknownNameError: no bundle, a damaged one, or a variant that there is not.
        InputError: options that cannot be, or a bundle of which nothing can be run here.
        OutputError: what was found cannot be remembered.
    """
    folder = Path(folder)
    if options.purpose not in tuned.PURPOSES:
        raise InputError(f"expected {', '.join(tuned.PURPOSES)}, got '{options.purpose}'")
    bundle = Bundle.open(folder)
    engines, left_out = offered.engines()
    found = candidates(bundle, engines, _threads(options), options.variants)
    rows = _first_sight(bundle, found, options, done)
    default = _default(bundle, rows)
    met = _finalists(rows, default)
    rounds = _meet(bundle, [row.candidate for row in met], options, done)
    final = {
        id(row): Row(
            candidate=row.candidate,
            verdict=row.verdict,
            value=percentile([one[place] for one in rounds.values], 50),
            ratio=rounds.ratio(place, met.index(default)),
        )
        for place, row in enumerate(met)
    }
    choices = {EXACT: met[_fastest(met, rounds, options.purpose, (EXACT,))]}
    for arithmetic in backends.ARITHMETICS[1:]:
        if any(row.candidate.arithmetic == arithmetic for row in met):
            choices[arithmetic] = met[_fastest(met, rounds, options.purpose, (EXACT, arithmetic))]
    record = Tuned(
        name=bundle.manifest.name,
        folder=str(folder.resolve()),
        purpose=options.purpose,
        choices={key: _choice(final[id(row)]) for key, row in choices.items()},
        versions=tuned.installed(),
    )
    tuned.remember(bundle.sha256, record)
    return Tuning(record=record, rows=[final.get(id(row), row) for row in rows], left_out=left_out)


def _threads(options: TuneOptions) -> tuple[int, ...]:
    """The counts to try. Raises `InputError`."""
    if options.purpose == "memory" and not options.threads:
        return (1,)
    cores = machine.cores()
    counts = options.threads or tuple(2**i for i in range(cores.bit_length()) if 2**i <= cores)
    if not all(1 <= count <= cores for count in counts):
        raise InputError(f"expected 1 to {cores} threads, as many as there are cores, got {max(counts)}")
    return tuple(sorted(set(counts)))


def side_of(bundle: Bundle, candidate: Candidate, purpose: str) -> Side:
    """What a process is to run: for throughput as many copies as there are cores for."""
    copies = max(1, machine.cores() // candidate.threads) if purpose == "throughput" else 1
    path = bundle.path(candidate.entry.file)
    return Side(name=candidate.name, path=path, bundle=bundle.folder, engine=candidate.engine, copies=copies)


def _measured(worker: Worker, options: TuneOptions) -> float:
    return worker.peak_bytes() if options.purpose == "memory" else worker.block(options.block_seconds)


def _first_sight(bundle: Bundle, found: Sequence[Candidate], options: TuneOptions, done: Done) -> list[Row]:
    """Each judged, and those that may be chosen timed for a moment."""
    golden = read_golden(bundle)
    manifest = bundle.manifest
    head = Head(kind=manifest.head, count=manifest.scores, threshold=manifest.threshold)
    own: dict[str, Scores] = {}  # what the variant's own interpreter gives of the user's images
    rows = []
    for step, candidate in enumerate(found):
        name, value = candidate.entry.name, None
        done("at first sight", step, len(found), candidate.name)
        try:
            with Worker(side_of(bundle, candidate, options.purpose), candidate.threads) as worker:
                told = Answers(
                    kernels=worker.kernels(),
                    golden=worker.scores(golden[GOLDEN_INPUTS], head.count),
                    images=None if options.images is None else worker.scores(options.images, head.count),
                )
                judged = verdict(
                    candidate.entry, candidate.arithmetic, head, golden[name], told, own.get(name)
                )
                if candidate.by_default and told.images is not None:
                    own.setdefault(name, told.images)
                if judged.status == PASSED:
                    worker.warm(options.warmup_seconds)
                    sights = [_measured(worker, options) for _ in range(_SIGHTS)]
                    value = percentile(sights, 50)
        except EdgewrightError as failure:  # an engine that refuses a file, or dies of it, is out
            judged = Verdict(status=FAILED, reason=" ".join(str(failure).split()))
        rows.append(Row(candidate=candidate, verdict=judged, value=value))
    if not any(row.value is not None and row.candidate.arithmetic == EXACT for row in rows):
        reason = next((row.verdict.reason for row in rows if row.verdict.reason), "no engine is installed")
        raise InputError(f"expected an engine that runs a proven variant of {bundle.folder}, got {reason}")
    return rows


def _default(bundle: Bundle, rows: Sequence[Row]) -> Row:
    """What `load` takes without being told; where that did not run, the first that did."""
    with contextlib.suppress(EdgewrightError):
        name = recommended(bundle).name
        for row in rows:
            one = row.candidate
            if row.value is not None and (one.entry.name, one.by_default) == (name, True):
                return row
    return next(row for row in rows if row.value is not None)


def _finalists(rows: Sequence[Row], default: Row) -> list[Row]:
    """The fastest at first sight, of exact engines and of each arithmetic that is faster; and the default."""
    timed = [(row, row.value.low) for row in rows if row.value is not None]  # what else ran only adds to it
    found: list[Row] = []
    for arithmetic in backends.ARITHMETICS:
        of_it = sorted(
            (one for one in timed if one[0].candidate.arithmetic == arithmetic), key=lambda o: o[1]
        )
        fastest = min((value for row, value in timed if row.candidate.arithmetic == EXACT))
        limit = NEAR * min(fastest, of_it[0][1]) if of_it else 0.0
        found += [row for row, value in of_it if value <= limit][:_FINALISTS]
    if not any(row is default for row in found):
        found.append(default)
    return found


@dataclass(frozen=True)
class _Rounds:
    """What every finalist took, by round; and of each turn, `(rounds, turns, finalists)`."""

    values: list[list[float]]
    turns: NDArray[np.float64]

    def ratio(self, place: int, against: int) -> Estimate:
        """Of what one takes to what another takes, a pair a round."""
        logs = np.log(self.turns[..., place]) - np.log(self.turns[..., against])
        return paired_ratio(np.exp(np.median(logs, axis=1)).tolist())


def _meet(bundle: Bundle, met: Sequence[Candidate], options: TuneOptions, done: Done) -> _Rounds:
    lots = random.Random(0)
    places = list(range(len(met)))

    def lot() -> list[int]:
        return lots.sample(places, len(places))

    turns: list[list[list[float]]] = []
    for step in range(options.rounds):
        done(f"{len(met)} in turn", step, options.rounds, f"round {step + 1}")
        with contextlib.ExitStack() as stack:
            workers = {
                place: stack.enter_context(
                    Worker(side_of(bundle, met[place], options.purpose), met[place].threads)
                )
                for place in lot()
            }
            for place in lot():
                workers[place].warm(options.warmup_seconds)
            taken = []
            for _ in range(1 if options.purpose == "memory" else options.turns):
                one = {place: _measured(workers[place], options) for place in lot()}
                taken.append([one[place] for place in places])
            turns.append(taken)
    values = [[statistics.median(turn[place] for turn in taken) for place in places] for taken in turns]
    return _Rounds(values, np.asarray(turns, np.float64))


def _fastest(met: Sequence[Row], rounds: _Rounds, purpose: str, allowed: Sequence[str]) -> int:
    """The place of the one to choose, of engines of the allowed arithmetics."""
    places = [place for place, row in enumerate(met) if row.candidate.arithmetic in allowed]
    taken = {place: rounds.ratio(place, places[0]).value for place in places}

    def order(place: int) -> tuple[int, bool, bool, int]:
        one = met[place].candidate
        return one.threads, not one.by_default, one.arithmetic != EXACT, one.entry.rank

    best: int | None = None
    counts = sorted({met[place].candidate.threads for place in places})
    groups = [[p for p in places if met[p].candidate.threads == count] for count in counts]
    for group in groups if purpose == "latency" else [places]:
        first = min(group, key=lambda place: taken[place])
        same = [p for p in group if (r := rounds.ratio(p, first)).low <= 1 and r.value <= SAME]
        chosen = min({*same, first}, key=order)
        if best is None or rounds.ratio(chosen, best).value < machine.WORTH:
            best = chosen
    assert best is not None
    return best


def _choice(row: Row) -> Choice:
    assert row.value is not None
    return Choice(
        variant=row.candidate.entry.name,
        engine=row.candidate.engine,
        threads=row.candidate.threads,
        value=row.value.value,
        low=row.value.low,
        high=row.value.high,
    )
