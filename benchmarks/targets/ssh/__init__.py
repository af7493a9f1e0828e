"""The target `ssh`: any Linux that OpenSSH reaches measures files with the project's own runtime."""

from edgewright.benchmarks.targets.ssh.target import TARGET

__all__ = ["TARGET"]
