"""Derives anew what is cheap of the published figures, and holds it against them, in minutes.

    python -m edgewright.benchmarks.figures.pedigree.again [BUNDLE…] [--results DIR] [--data DIR]

What follows from the counts and intervals of a row itself has to be the same to the last digit: drops and
their intervals, verdicts. Simulations of the gate and of `compare` are made with few draws, which are to give
the published shares but for chance. Each reader is given a few hostile inputs. A published row of a bundle
that is here, with the same bytes, has to say what its manifest says, and the bundle has to give its recorded
scores; a data set in `--data` has to have the published hash. Stale rows are told, and are no failure.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewright.benchmarks.figures import publish, script
from edgewright.benchmarks.figures.error_rates import comparisons, gate
from edgewright.benchmarks.figures.pedigree import stale
from edgewright.benchmarks.record.stats import Estimate
from edgewright.export.proof.interval import score_interval
from edgewright.runtime import console, verify
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import EdgewrightError, InputError

Row = Mapping[str, Any]
DRAWS, SIMULATIONS, HOSTILE = 200, 150, 0.002  # instead of 10,000 of each, and of all inputs
_DEVIATIONS = 5  # of two shares that are one, once in two million
_OF_SETS = {"runtime": "cifar10", "limit": "cifar10", "repair": "cifar10", "proof": "mnist"}


def derived(kind: str, row: Row) -> Iterator[str]:
    """What a row says otherwise than its own counts and intervals do."""
    for value, low, high in (
        ("value", "low", "high"),
        ("ratio", "ratio_low", "ratio_high"),
        ("p50_ms", "low_ms", "high_ms"),
    ):
        if value in row and not row[low] <= row[value] <= row[high]:
            yield f"{value} {row[value]} outside of {row[low]} to {row[high]}"
    if kind == "export" and row.get("class_lost"):
        lost, won, samples = sum(row["class_lost"]), sum(row["class_won"]), row["samples"]
        ends = score_interval(lost, won, samples)
        given = (row["drop_low"], row["drop_high"])
        if abs(row["drop"] - (lost - won) / samples) > 1e-9:
            yield f"drop {row['drop']}, of {lost} lost and {won} won images of {samples}"
        if any(abs(one - other) > 1e-9 for one, other in zip(ends, given, strict=True)):
            yield f"interval {given}, from {lost} and {won} of {samples} follows {ends}"
    if kind == "runtime":
        ratio = Estimate(value=row["ratio"], low=row["ratio_low"], high=row["ratio_high"])
        if row["verdict"] != (told := publish.verdict(ratio, row["limit"], row["sense"])):
            yield f"verdict {row['verdict']}, from its interval follows {told}"
    if "met" in row and row["met"] != (row["verdict"] == "met"):
        yield f"met {row['met']}, and verdict {row['verdict']}"


def drops(rows: Sequence[Row]) -> Iterator[str]:
    """What exports lose otherwise than the accuracies of a file and of its reference say."""
    whole = {(row["recipe"], row["data"]): row for row in rows if row["verdict"] == "reference"}
    for row in rows:
        reference = whole.get((row["recipe"], row["data"]))
        if reference and {"drop", "accuracy"} <= row.keys() and row["samples"] == reference["samples"]:
            told = reference["accuracy"] - row["accuracy"]
            if abs(told - row["drop"]) > 1e-9:
                yield f"export {row['recipe']} {row['variant']}: drop {row['drop']}, accuracies say {told}"


def apart(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two counts, each of so many, are of different chances."""
    (a, n), (b, m) = one, other
    pooled = (a + b + 1) / (n + m + 2)
    deviation: float = (pooled * (1 - pooled) * (1 / n + 1 / m)) ** 0.5
    return abs(a / n - b / m) > _DEVIATIONS * deviation + 1 / min(n, m)


def simulated(published: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Shares that few draws do not bear out."""
    names = ("limit", "bound", "images", "discordance", "at_bound", "class_drop")
    known = {tuple(row.get(name) for name in names): row for row in published.get("gate", ())}
    for row in gate.rows(DRAWS) if known else ():
        key = tuple(row.get(name) for name in names)
        if key not in known:
            yield f"gate: no row of {' '.join(map(str, key))}"
        elif apart((row["passed"], DRAWS), (known[key]["passed"], known[key]["draws"])):
            told = f"{known[key]['passed']} of {known[key]['draws']}, here {row['passed']} of {DRAWS}"
            yield f"gate {' '.join(map(str, key))}: {told}"
    for row in published.get("compare", ()):
        machine = row["machine"].removeprefix("simulated, ")
        if machine != row["machine"]:
            found = round(comparisons.simulated(machine, row["slow_down"], SIMULATIONS) * SIMULATIONS)
            if apart((found, SIMULATIONS), (row["found"], row["comparisons"])):
                told = f"{row['found']} of {row['comparisons']}, here {found} of {SIMULATIONS}"
                yield f"compare {row['machine']}, {row['slow_down']}: {told}"


def attacked() -> Iterator[str]:
    """Readers that do not stand a few hostile inputs. Of no use but on Linux, which counts their memory."""
    if not Path("/proc/self/clear_refs").exists():
        return
    from edgewright.benchmarks.figures.reliability.__main__ import attack
    from edgewright.benchmarks.figures.reliability.attacks import ATTACKS

    for name, one in ATTACKS.items():
        row = attack(one, max(1, round(one.inputs * HOSTILE)))
        if row["crashes"] + row["hangs"] + row["accepted_wrong"]:
            yield f"reliability {name}: {row}"


def of_bundles(published: Mapping[str, Sequence[Row]], bundles: Iterable[Path]) -> Iterator[str]:
    """Published rows that bundles with the same bytes contradict, and bundles that do not give their recorded
    scores."""
    known = {publish.which(row): row for row in published.get("export", ())}
    for folder in bundles:
        bundle = Bundle.open(folder)
        try:
            verify(folder)
        except EdgewrightError as failure:
            yield f"{folder}: {failure}"
        for row in publish.export_rows(bundle.manifest):
            other = known.get(publish.which(row), {})
            if row.get("file_sha256") and row["file_sha256"] == other.get("file_sha256"):
                for key in row.keys() & other.keys():
                    if row[key] != other[key]:
                        told = f"{key} {other[key]}, in {folder} {row[key]}"
                        yield f"export {row['recipe']} {row['variant']}: {told}"


def of_data(published: Mapping[str, Sequence[Row]], data: Path) -> Iterator[str]:
    """Rows of data sets that have another hash here."""
    for kind, name in _OF_SETS.items():
        path = data / f"{name}.npz"
        told = {row["data_sha256"] for row in published.get(kind, ()) if "data_sha256" in row}
        if told and path.exists() and told != {now := files.sha256_of(path)}:
            yield f"{kind}: data of {', '.join(sorted(told))}, {path} is {now}"


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="*")
    parser.add_argument("--results", type=Path, default=stale.RESULTS)
    parser.add_argument("--data", type=Path, default=files.cache_folder() / "data")
    arguments = parser.parse_args(words)
    published = {
        path.stem: [row.data for row in jsonio.read(path, InputError).objects("rows")]
        for path in sorted(arguments.results.glob("*.json"))
    }
    of_rows = (
        f"{kind}, {' '.join(str(value) for value in [*row.values()][:5])}: {wrong}"
        for kind, rows in published.items()
        for row in rows
        for wrong in derived(kind, row)
    )
    parts: Mapping[str, Iterable[str]] = {
        "what follows from rows": itertools.chain(of_rows, drops(published.get("export", ()))),
        "simulations with few draws": simulated(published),
        "a few hostile inputs": attacked(),
        f"{len(arguments.bundles)} bundles": of_bundles(published, arguments.bundles),
        f"data sets in {arguments.data}": of_data(published, arguments.data),
    }
    count = 0
    for what, wrong in parts.items():
        found = list(wrong)
        for line in found:
            console.complain(line)
        count += len(found)
        console.say(f"{what}: {f'{len(found)} contradict what is published' if found else 'as published'}")
    unknown = stale.main(["--results", str(arguments.results)])
    return 1 if count or unknown else 0


if __name__ == "__main__":
    script.run(main)
