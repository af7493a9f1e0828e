"""Measurements as bench writes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgewright.benchmarks.record.measurement import Measurement
from edgewright.runtime.disk import jsonio

WriteBench = Callable[..., Path]


@pytest.fixture(scope="session")
def write_bench() -> WriteBench:
    """Write measurements as `edgewright bench` does, of variants that take so many milliseconds."""

    def write(
        path: Path,
        variants: Mapping[str, float],
        *,
        bundle: str = "fashion-mlp",
        processes: int = 6,
        notes: Callable[[str], list[str]] = lambda name: [],
        surroundings: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Path:
        environment = {"cpu": "Test CPU", "cores": 2, "load_1min": 0.5, **(surroundings or {})}
        found = []
        for process in range(processes):
            for name, ms in variants.items():
                runs = [
                    round(ms * 1e6 * (1 + 0.001 * (process - 2.5) + 0.0001 * (i - 49.5))) for i in range(100)
                ]
                found.append(
                    Measurement(
                        **{
                            "variant": name,
                            "target": "local",
                            "threads": 1,
                            "kernels": "xnnpack",
                            "samples_ns": {"load": [3_000_000], "warm_run": runs},
                            "peak_rss_bytes": 50_000_000 + process,
                            "base_rss_bytes": 40_000_000,
                            "environment": environment,
                            "notes": notes(name),
                            **changes,
                        }
                    )
                )
        data = {
            "schema_version": 1,
            "bundle": bundle,
            "plan": {},
            "environment": environment,
            "measurements": [dataclasses.asdict(m) for m in found],
        }
        path.write_bytes(jsonio.dump(data))
        return path

    return write
