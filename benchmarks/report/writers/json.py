"""JSON for machines: the figures and what follows from them; images are left to the bundle."""

from __future__ import annotations

import dataclasses
from typing import Any

from edgewright.benchmarks.record.stats import Estimate
from edgewright.benchmarks.report import advice, explained
from edgewright.benchmarks.report.facts import LoneFile, Measured, Report, Row, Subject, Task
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import BundleError

SCHEMA_VERSION = 1


def write(report: Report) -> bytes:
    """Times are milliseconds, shares are 0 to 1, each estimate has its 95 % interval."""
    tasks = [_task(task) for task in report.tasks]
    told = {"schema_version": SCHEMA_VERSION, "place": report.place, "tasks": tasks}
    if report.files:
        told["files"] = [_file(file) for file in report.files]
    try:
        return jsonio.dump(told)
    except ValueError as failure:  # NaN in what a bundle or a file of measurements says for people
        raise BundleError(f"expected finite numbers in the bundles and measurements: {failure}") from failure


WRITER = write


def _task(task: Task) -> dict[str, Any]:
    by_size = advice.front(task.rows, lambda row: row.bytes)
    times = {row: row.latency.value for row in task.rows if row.latency}
    by_latency = advice.front([*times], times.__getitem__)
    best = task.advice.best
    return {
        "recommended": {
            "model": best.model,
            "variant": best.name,
            "reason": task.advice.reason,
            "by_speed": task.advice.timed,
            "not_measured": [[row.model, row.name] for row in task.advice.unmeasured],
        },
        "judging": dataclasses.asdict(task.words.judging),
        "by_format": {row.format: row.name for row in (best, *task.advice.others)},
        "front_by_size": [[row.model, row.name] for row in by_size],
        "front_by_latency": [[row.model, row.name] for row in by_latency],
        "bundles": [_subject(subject) for subject in task.subjects],
    }


def _subject(subject: Subject) -> dict[str, Any]:
    labels = subject.manifest.labels
    return {
        "model": subject.model,
        "bundle": str(subject.path),
        "labels": list(labels),
        "reference": dict(subject.manifest.reference),
        "variants": [_row(row) for row in subject.rows],
        "classes": {
            name: {field: getattr(one, field).tolist() for field in ("images", "keras_right", "lost", "won")}
            for name, one in (subject.evidence or {}).items()
        },
        **({"explained": explained.rows(subject.explained)} if subject.explained else {}),
        "worst_disagreements": {
            name: [
                {
                    **({"truth": labels[d.truth]} if subject.words.labelled else {}),
                    "keras": labels[d.keras],
                    "keras_probability": float(d.probabilities[0, 0]),
                    "variant": labels[d.variant],
                    "variant_probability": float(d.probabilities[1, 1]),
                }
                for d in one.worst
            ]
            for name, one in (subject.evidence or {}).items()
        },
        **_measured(subject),
    }


def _file(file: LoneFile) -> dict[str, Any]:
    return {
        "file": str(file.path),
        "bytes": file.row.bytes,
        "latency_ms": _estimate(file.row.figures.times.get("p50") if file.row.figures else None),
        **_measured(file),
    }


def _measured(subject: Measured) -> dict[str, Any]:
    """`environment` is that of the machine that measured last, `environments` are all."""
    surroundings = [dict(bench.environment) for bench in subject.benches]
    return {
        "measurements": [dataclasses.asdict(f) for f in subject.figures] if subject.benches else None,
        "environment": surroundings[0] if surroundings else None,
        "environments": surroundings,
        "warnings": list(subject.warnings),
    }


def _estimate(e: Estimate | None) -> dict[str, float] | None:
    return dataclasses.asdict(e) if e else None


def _row(row: Row) -> dict[str, Any]:
    return {
        "variant": row.name,
        "file": row.entry.file.file,
        "bytes": row.bytes,
        "gzip_bytes": row.entry.gzip_bytes,
        "parity": dataclasses.asdict(row.entry.parity),
        "latency_ms": _estimate(row.latency),
    }
