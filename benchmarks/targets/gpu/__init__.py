"""LiteRT's GPU accelerator held against its CPU kernels, on a real GPU or on one in software."""

from edgewright.benchmarks.targets.gpu.engine import ENGINE
from edgewright.benchmarks.targets.gpu.target import TARGET

__all__ = ["ENGINE", "TARGET"]
