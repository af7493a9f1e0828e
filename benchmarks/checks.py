"""What `edgewright doctor` shows of the targets: those that this system lacks something for."""

from __future__ import annotations

from edgewright.benchmarks import targets


def lines() -> list[str]:
    """A line for each target that cannot be used here yet, with what to do."""
    found = ((name, targets.get(name).missing()) for name in targets.names())
    return [f"target {name} needs {lacking}" for name, lacking in found if lacking]
