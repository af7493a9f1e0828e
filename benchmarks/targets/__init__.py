"""Places to measure behind one seam: a target is a file or folder here that sets `TARGET`."""

from __future__ import annotations

from typing import Protocol

from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.runtime import plugins
from edgewright.runtime.bundle.manifest import Bundle


class Target(Protocol):
    """A place where a measurement is taken; `summary` says what its figures do and do not mean.

    `repeats` is whether further processes tell anything: not where the same comes out each time.
    """

    summary: str
    repeats: bool

    def missing(self) -> str:
        """What this system lacks for it, and what to do, in one line; empty if nothing."""
        ...

    def check(self, bundle: Bundle, variant: str, plan: Plan) -> None:
        """See that a variant can be measured here, before any is.

        Raises:
            InputError: this target does not measure such a file, or not in that way.
        """
        ...

    def run(self, bundle: Bundle, variant: str, plan: Plan) -> Measurement:
        """Measure one variant in a process of its own.

        Raises:
            BundleError: a damaged file.
            MissingExtraError: the interpreter is not installed.
            TargetError: the target cannot be set up here, or failed.
        """
        ...


def names() -> tuple[str, ...]:
    """Of all targets, sorted."""
    return plugins.names(__name__)


def get(name: str) -> Target:
    """Raises `UnknownNameError`."""
    target: Target = plugins.get(__name__, name, "TARGET")
    return target
