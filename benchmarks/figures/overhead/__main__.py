"""See `overhead`."""

from edgewright.benchmarks.figures import overhead, script

script.run(overhead.main)
