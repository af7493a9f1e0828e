"""An arm64 machine in user space: QEMU, Debian's arm64 Python and the interpreters' real aarch64 wheels."""

from edgewright.benchmarks.targets.arm64.target import TARGET

__all__ = ["TARGET"]
