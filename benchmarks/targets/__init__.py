"""Places to measure: a target is a file here that sets `TARGET`; see `edgewright.benchmarks.measurement`."""
