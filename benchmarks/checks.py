"""What `edgewright doctor` shows of the targets: those that this system lacks something for."""

from __future__ import annotations

from edgewright.benchmarks import measurement


def lines() -> list[str]:
    """A line for each target that cannot be used here yet, with what to do."""
    found = ((name, measurement.get(name).missing()) for name in measurement.names())
    return [f"target {name} needs {lacking}" for name, lacking in found if lacking]
