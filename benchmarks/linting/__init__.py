"""On which engines does a model file run, rightly, and how much of it: each is asked by running the file.

An engine is a file here that sets `LINTER`. Lists of operators are believed of none that can be run; of Core
ML, which runs nowhere but on Apple's systems, there is its published list, with its date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgewright.runtime import plugins

if TYPE_CHECKING:
    from edgewright.benchmarks.linting._subject import Subject

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Blamed:
    """An operator that an engine does not take, or gets wrong, and the Keras layer it is of, empty if the
    file does not tell; `why` is what the engine says of it."""

    operator: str
    layer: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.operator} ({self.layer})" if self.layer else self.operator


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of running a file in an engine.

    `runs` is None where that is not known, such as for want of a package; `verdict` on its answers beside the
    CPU's is `right`, `differs` or `wrong`, empty if none were compared; `share` that of the operators which
    it computes itself, 0 to 1, None where it does not tell. `blamed` are the operators that stand in the way,
    `remedy` is what to do, `note` what else there is to say.
    """

    engine: str
    runs: bool | None
    verdict: str = ""
    share: float | None = None
    blamed: tuple[Blamed, ...] = ()
    remedy: str = ""
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "runs": self.runs,
            "right": self.verdict or None,
            "share": self.share,
            "operators": [vars(one) for one in self.blamed],
            "remedy": self.remedy,
            "note": self.note,
        }


@dataclass(frozen=True, kw_only=True)
class Linted:
    """What came of a file; `notes` say what was assumed of it."""

    file: Path
    variant: str = ""
    answers: tuple[Answer, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "variant": self.variant or None,
            "notes": list(self.notes),
            "engines": [answer.to_json() for answer in self.answers],
        }


class Linter(Protocol):
    """An engine. `title` is its name, `place` where it stands among the others, `suffixes` are the files that
    it takes at all."""

    title: str
    place: int
    suffixes: tuple[str, ...]

    def missing(self) -> str:
        """What this system lacks for it, and what to do, in one line; empty if nothing."""
        ...

    def lint(self, subject: Subject, say: Say) -> Sequence[Answer]:
        """Run the file; `say` is told what takes long.

        Raises:
            EngineError: the engine says nothing of the file.
            TargetError: it cannot be set up here.
        """
        ...


def linters() -> list[Linter]:
    """All engines, in the order they are shown."""
    found = [plugins.get(__name__, name, "LINTER") for name in plugins.names(__name__)]
    return sorted(found, key=lambda linter: linter.place)


def lint(
    path: Path | str, *, say: Say = lambda line: None, asking: Callable[[str], None] = lambda name: None
) -> Iterator[Linted]:
    """What comes of running a file, or each file of a bundle, in every engine.

    Args:
        path: a .tflite or .onnx file of anyone, or a bundle folder.
        say: told what takes long, such as an engine that is set up first.
        asking: told of each engine that is asked next.

    Raises:
        ModelFileError, BundleError: what is there cannot be read.
        InputError: a file of several inputs.
    """
    from edgewright.benchmarks.agreement import EngineError
    from edgewright.benchmarks.linting import _subject
    from edgewright.runtime.errors import EdgewrightError

    for subject in _subject.subjects(Path(path)):
        answers: list[Answer] = []
        for linter in linters():
            if subject.suffix not in linter.suffixes:
                continue
            asking(linter.title)
            try:
                if lacking := linter.missing():
                    answers.append(Answer(engine=linter.title, runs=None, remedy=_cure(lacking)))
                else:
                    answers += linter.lint(subject, say)
            except (EngineError, EdgewrightError) as failure:
                answers.append(Answer(engine=linter.title, runs=None, note=str(failure)))
        yield Linted(file=subject.path, variant=subject.variant, answers=tuple(answers), notes=subject.notes)


def _cure(lacking: str) -> str:
    return f"not tried, as this needs {lacking}"
