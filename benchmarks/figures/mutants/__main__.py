"""Plants deliberate faults, one at a time, in a copy of the project, and sees which test notices each.

    python -m edgewright.benchmarks.figures.mutants [--count 10 --turn N] [--out benchmarks/figures/results]

First the tests have to pass without any fault. Without `--count` all faults are planted, with it those of a
turn. `--out` publishes what came of all.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgewright.benchmarks.figures import publish, script
from edgewright.benchmarks.figures.mutants import table
from edgewright.benchmarks.figures.mutants.project import Project
from edgewright.benchmarks.figures.mutants.table import Mutant
from edgewright.benchmarks.measure import environment
from edgewright.runtime import console
from edgewright.runtime.errors import EdgewrightError, InputError

ROOT = Path(__file__).resolve().parents[3]
FILE = "mutants.json"
_NOTICED = ("FAILED", "ERROR")
_SECONDS = 300  # for the tests of one fault; one that makes them hang is noticed too


def plant(project: Project, mutants: Sequence[Mutant]) -> list[publish.Row]:
    """A row a fault: its `name`, its `folder`, and the test it was `killed_by`, empty if none noticed it.

    Raises:
        InputError: a fault whose text has changed, a test that fails without any fault, or that does not run.
    """
    for mutant in mutants:
        mutant.changed(project.folder)
    tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.killers))
    green = project.outcomes(tests) if tests else {}
    for test in tests:
        of_it = {outcome for name, outcome in green.items() if name == test or name.startswith(f"{test}[")}
        if of_it != {"PASSED"}:
            got = ", ".join(sorted(of_it)).lower() or "no such test"
            raise InputError(f"expected {test} to pass without a fault, got {got}")
    console.say(f"{len(tests)} tests pass without a fault")
    rows: list[publish.Row] = []
    for number, mutant in enumerate(mutants, 1):
        killer = ""
        if mutant.killers:
            with project.with_fault(mutant):
                found = project.outcomes(mutant.killers, _SECONDS)
            killer = next((test for test, outcome in found.items() if outcome in _NOTICED), "")
        console.say(f"{number}/{len(mutants)} {mutant.name} ({mutant.file}): {killer or 'not noticed'}")
        rows.append({"name": mutant.name, "folder": mutant.folder, "killed_by": killer})
    return rows


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, help="of the faults, by turns (default: all)")
    parser.add_argument("--turn", type=int, default=0, help="which part of them, such as the day's number")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args(words)
    if arguments.count is not None and (arguments.count < 1 or arguments.out):
        raise InputError("expected a --count of at least 1, and --out only with all faults")
    mutants = table.read()
    chosen = mutants if arguments.count is None else table.turn(mutants, arguments.count, arguments.turn)
    with tempfile.TemporaryDirectory() as folder, Project(ROOT, Path(folder)) as project:
        rows = plant(project, chosen)
    if arguments.out:
        publish.write(arguments.out / FILE, environment.describe(), rows)
    known = {mutant.name for mutant in mutants if mutant.killers}
    missed = [row["name"] for row in rows if not row["killed_by"] and row["name"] in known]
    console.say(f"{sum(bool(row['killed_by']) for row in rows)} of {len(rows)} faults noticed")
    if missed:
        raise EdgewrightError(
            f"expected the tests that are named to notice every fault, got not: {missed[0]}"
        )
    return 0


if __name__ == "__main__":
    script.run(main)
