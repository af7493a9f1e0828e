"""Places to measure behind one seam: a target is a file or folder here that sets `TARGET`.

Every target is imported to offer its options: numpy, and what is heavier, is imported inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.runtime import plugins
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import InputError

Say = Callable[[str], None]
GIVEN = "yes"
AT = "at"  # what followed the target's name, among `Plan.options`


@dataclass(frozen=True, kw_only=True)
class Option:
    """`--name METAVAR` of `edgewright bench`, for the targets that declare it; its value is a text. One
    without a `metavar` takes none: its value is `GIVEN` where it was given."""

    name: str
    metavar: str = ""
    help: str


IMAGES = Option(
    name="images",
    metavar="FILE.npz",
    help="test images x and classes y (or x_test, y_test), of which 1,000 are run: arm64 and ssh tell the "
    "accuracy, gpu and micro the agreement with the CPU",
)


class Target(Protocol):
    """A place where a measurement is taken; `title` says what it measures, `summary` what its figures do and
    do not mean.

    `repeats` is whether further processes tell anything: not where the same comes out each time. `options`
    are its own, given to it in `Plan.options`; targets that declare equal ones share them. `devices` is
    whether others than this machine may answer: a measurement is of the machine that its `environment` says.
    `at` is what has to follow its name, such as ":HOST", or may, "[:SERIAL]"; it is given what did as the
    option `AT`.
    """

    title: str
    summary: str
    repeats: bool
    devices: bool = False
    at: str = ""
    options: Sequence[Option] = ()

    def missing(self) -> str:
        """What this system lacks for it, and what to do, in one line; empty if nothing."""
        return ""

    def check(self, bundle: Bundle, variant: str, plan: Plan) -> None:
        """See that a variant can be measured here, before any is.

        Raises:
            InputError: this target does not measure such a file, or not in that way.
        """
        return

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        """Measure one variant in a process of its own; `say` is told what takes long meanwhile.

        Raises:
            BundleError: a damaged file.
            MissingExtraError: the interpreter is not installed.
            TargetError: the target cannot be set up here, or failed.
        """
        ...

    def run_all(
        self,
        bundle: Bundle,
        variants: Sequence[str],
        plans: Sequence[Plan],
        done: Callable[[str], None] = lambda variant: None,
        say: Say = lambda line: None,
    ) -> list[Measurement]:
        """Measure variants by each plan, in as many processes as it says; `done` is called with the variant
        after each. Raises as `run` does.

        A target that measures all of them at once has a way of its own, and may give measurements of several
        machines: those whose `environment` is of another than this one. None come of what only prepares a
        measurement elsewhere.
        """
        found = []
        for turn in range(max(plan.processes for plan in plans)):
            for plan in plans:
                for name in variants:  # in turn: a busy moment of the machine falls on all of them
                    if turn < plan.processes:
                        found.append(self.run(bundle, name, plan, say))
                        done(name)
        return found


def names() -> tuple[str, ...]:
    """Of all targets, sorted."""
    return plugins.names(__name__)


def get(name: str) -> Target:
    """Raises `UnknownNameError`."""
    target: Target = plugins.get(__name__, name, "TARGET")
    return target


def parse(text: str) -> tuple[str, dict[str, str]]:
    """The name of the target in such as "ssh:pi@host", and what follows it, as options.

    Raises:
        UnknownNameError: no such target.
        InputError: something is missing behind its name, or is too much.
    """
    name, colon, at = text.partition(":")
    takes = get(name).at
    if (colon and not (takes and at)) or (takes.startswith(":") and not at):
        raise InputError(f"expected --target {name}{takes}, got {text}")
    return name, {AT: at} if at else {}


def options() -> dict[Option, list[str]]:
    """The options of all targets, each with the names of those that take it."""
    takers: dict[Option, list[str]] = {}
    for name in names():
        for option in get(name).options:
            takers.setdefault(option, []).append(name)
    return takers


def check_options(target: str, names: Sequence[str]) -> None:
    """Raises `InputError` if an option of that name is not one of the target's."""
    for name in names:
        takers = [taker for option, takers in options().items() if option.name == name for taker in takers]
        if target not in takers:
            known = ", ".join(takers) or "none does"
            raise InputError(f"expected --{name} with a target that takes it ({known}), got {target}")
