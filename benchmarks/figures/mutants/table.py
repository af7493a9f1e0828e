"""The faults that are tried, from `table.toml`: a text of a file becomes another, and a test has to fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tomllib import TOMLDecodeError, loads

from edgewright.runtime.errors import InputError

TABLE = Path(__file__).with_name("table.toml")


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """`old` stands once in `file`, a path below the project's folder, and becomes `new`; `killers` are tests
    by their node ids, of which one has to fail then; empty if none is known that does."""

    name: str
    file: str
    old: str
    new: str
    killers: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Which of the project's folders it is in."""
        return self.file.partition("/")[0]

    def changed(self, root: Path) -> str:
        """The file's text with the fault. Raises `InputError`: `old` does not stand in it exactly once."""
        try:
            text = (root / self.file).read_text(encoding="utf-8")
        except OSError as failure:
            raise InputError(f"cannot read {self.file} for '{self.name}': {failure.strerror}") from failure
        if (count := text.count(self.old)) != 1:
            raise InputError(
                f"expected the text of '{self.name}' once in {self.file}, got it {count} times: "
                f"{' '.join(self.old.split())[:60]}; bring {TABLE.name} up to date"
            )
        return text.replace(self.old, self.new)


def read(path: Path = TABLE) -> tuple[Mutant, ...]:
    """All faults in their order. Raises `InputError`: a table that is none, or two faults of one name."""
    try:
        found = loads(path.read_text(encoding="utf-8"))["mutant"]
        mutants = tuple(Mutant(**{**entry, "killers": tuple(entry["killers"])}) for entry in found)
    except (OSError, TOMLDecodeError, KeyError, TypeError) as failure:
        raise InputError(f"expected a table of faults in {path}, got {failure}") from failure
    names = [mutant.name for mutant in mutants]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"expected faults of different names in {path}, got two '{twice}'")
    return mutants


def turn(mutants: Sequence[Mutant], count: int, number: int) -> list[Mutant]:
    """`count` of the faults: those of the `number`-th turn, so that turns one after the other take all. They
    are dealt out in strides, as neighbours are of one folder. Faults of no known killer are passed over."""
    known = [mutant for mutant in mutants if mutant.killers]
    turns = max(1, -(-len(known) // max(count, 1)))
    return known[number % turns :: turns]
