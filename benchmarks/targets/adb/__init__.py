"""The target `adb`: a phone behind Android's debug bridge runs LiteRT's own benchmark_model."""

from edgewright.benchmarks.targets.adb.target import TARGET

__all__ = ["TARGET"]
