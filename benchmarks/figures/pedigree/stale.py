"""Which published rows were made by other code than today's, and what makes them again.

    python -m edgewright.benchmarks.figures.pedigree.stale [--results DIR]

A row is stale if its `code` is not that of today, or if it measures a file that is not the published one:
another export of that recipe and variant has replaced it since. Old rows are no failure, as all figures are
made again in one go; rows without `code` are, and end it with 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.pedigree import code, kinds
from edgewright.runtime import console
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import InputError

RESULTS = Path(__file__).parents[1] / "results"
_OF_FILES = "export"  # its rows say which files are published
Row = Mapping[str, Any]


@dataclass(kw_only=True)
class Standing:
    """How many `rows` of a results file there are, how many are `unknown` as they have no code, are of
    `other` code than today's, or of a file since `replaced`; and the commands that make those again."""

    kind: str
    rows: int = 0
    unknown: int = 0
    other: int = 0
    replaced: int = 0
    commands: dict[str, None] = field(default_factory=dict)

    @property
    def stale(self) -> int:
        return self.unknown + self.other + self.replaced

    @property
    def command(self) -> str:
        """What makes the stale rows again; of none, nothing."""
        return ", ".join(self.commands)


def standing(
    kind: str, rows: Sequence[Row], files: Mapping[tuple[str, str], str], tree: code.Tree
) -> Standing:
    """How the rows of a file stand to the code of `tree` and to the published `files`."""
    found = Standing(kind=kind, rows=len(rows))
    for row in rows:
        part = kinds.part(kind, row)
        now = files.get((row.get("recipe", ""), row.get("variant", "")))
        if not row.get("code"):
            found.unknown += 1
        elif row["code"] != tree.code(part):
            found.other += 1
        elif now and kind != _OF_FILES and row.get("file_sha256", now) != now:
            found.replaced += 1
        else:
            continue
        found.commands[part.command] = None
    return found


def standings(results: Path = RESULTS) -> list[Standing]:
    """How every results file of a folder stands to the code of today.

    Raises:
        InputError: one of them is broken, or of no known name.
    """
    tree = code.Tree()
    rows = {path.stem: _rows(path) for path in sorted(results.glob("*.json"))}
    files = published(rows.get(_OF_FILES, []))
    return [standing(kind, found, files, tree) for kind, found in rows.items()]


def published(rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    """The SHA-256 of each published file, by recipe and variant; of a recipe on two data sets, of none."""
    found: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if sha := row.get("file_sha256"):
            found.setdefault((row["recipe"], row["variant"]), set()).add(sha)
    return {key: next(iter(sums)) for key, sums in found.items() if len(sums) == 1}


def _rows(path: Path) -> list[Row]:
    return [row.data for row in jsonio.read(path, InputError).objects("rows")]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    found = standings(parser.parse_args(words).results)
    for one in found:
        if one.stale:
            why = {
                "without code": one.unknown,
                "by earlier code": one.other,
                "of files since replaced": one.replaced,
            }
            told = ", ".join(f"{count} {how}" for how, count in why.items() if count)
            console.say(f"{one.kind}.json: {told}, of {one.rows} rows; {one.command}")
    total, stale = sum(one.rows for one in found), sum(one.stale for one in found)
    console.say(
        f"{stale} of {total} published rows are to be made again"
        if stale
        else f"all {total} rows are current"
    )
    return 1 if any(one.unknown for one in found) else 0


if __name__ == "__main__":
    script.run(main)
