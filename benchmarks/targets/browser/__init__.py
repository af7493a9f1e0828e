"""The target `browser`: a page in any browser checks and times a bundle's files, and posts raw samples."""

from edgewright.benchmarks.targets.browser.target import TARGET

__all__ = ["TARGET"]
