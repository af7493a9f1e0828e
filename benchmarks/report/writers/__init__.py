"""Ways to write a report, each a file named as the suffix it writes, found by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from edgewright.benchmarks.report import facts
from edgewright.benchmarks.report.facts import Report
from edgewright.runtime import plugins
from edgewright.runtime.disk import files
from edgewright.runtime.errors import InputError


class Writer(Protocol):
    """What such a module's `WRITER` is."""

    def __call__(self, report: Report) -> bytes:
        """The file's bytes.

        Raises:
            MissingExtraError: a package that it needs is not installed.
        """
        ...


def write_report(
    bundles: Sequence[Path], out: Path, benches: Sequence[Path] = (), explained: Path | None = None
) -> Report:
    """Write what bundles and their measurements say: which file to ship, what each costs, where it fails.

    Args:
        bundles: bundle folders, and model files of no bundle, of which only costs are told.
        out: a file that ends in `.html`, a page that is whole in itself, `.md`, Markdown for a README, or
            `.json`, for machines.
        benches: files of measurements, each of the bundle or file that it names, several of one where it
            was measured in several places; a bundle without one takes `BUNDLE-bench.json` beside it.
        explained: what `edgewright explain` wrote of one of the bundles, which the page shows.

    Returns:
        What was written, which is the advice and every figure it stands on.

    Raises:
        BundleError: a bundle or a file of measurements that is damaged or missing.
        OutputError: nothing can be written there.
        InputError: another ending, a bundle named twice, or measurements or explanations of none of them.
        ModelFileError: a file that no backend takes.
        MissingExtraError: a package that the page needs is not installed.
    """
    known = plugins.names(__name__)
    suffix = out.suffix.removeprefix(".")
    if suffix not in known or out.is_dir():
        raise InputError(f"expected --out to end in {', '.join(f'.{name}' for name in known)}, got {out}")
    write: Writer = plugins.get(__name__, suffix, "WRITER")
    files.check_file(out)
    report = facts.gather(bundles, benches, explained)
    files.write_file(out, write(report))
    return report
