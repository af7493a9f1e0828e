"""This machine's CPU. Each variant gets a fresh process, so that memory and load time are its own.

A file that nobody vouched for (`edgewright.runtime.trust`) is timed in a process apart: the clock runs in
there, beside the interpreter, so that no figure has the way to this process in it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from typing import TYPE_CHECKING

from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.targets import Say, Target
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import EdgewrightError
from edgewright.runtime.machine.child import ChildProcess

if TYPE_CHECKING:
    from edgewright.runtime.backends import Backend, ModelFile

_START_SECONDS = 60.0  # to start on a busy machine, and for images to be encoded


class Local(Target):
    title = "this machine"
    summary = "this machine's CPU, one process a variant; wall time, so other load shows in it"
    repeats = True

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        from edgewright.benchmarks.record.record import measurement_of
        from edgewright.runtime import backends, trust
        from edgewright.runtime.trust import process

        entry = bundle.variant(variant)
        path, raw = bundle.read(entry.file)
        backend = backends.for_path(path)
        folder = str(bundle.folder.resolve())
        job = {"bundle": folder, "variant": variant, "plan": dataclasses.asdict(plan)}
        if trust.opens_here(entry.file.sha256, backend) or not backend.available():
            command = [sys.executable, "-P", "-m", "edgewright.benchmarks.measure.probe", json.dumps(job)]
            child, seconds = ChildProcess(command, log=True), None
        else:
            seconds = _patience(backend, backend.parse(path, raw), plan)
            words, reads = [json.dumps(job)], [folder]
            child = process.start("edgewright.benchmarks.measure.probe:apart", words, reads=reads, log=True)
        with child:
            answer = child.hear(seconds=seconds, most=0, line=jsonio.MAX_BYTES)
            if answer is None:
                if child.late:
                    raise EdgewrightError(f"measuring {variant} takes more than {seconds:.0f} s")
                status = child.status()
                raise EdgewrightError(child.last_line() or f"measuring {variant} ended with status {status}")
        told = jsonio.JsonObject(
            {**answer[0], "target": "local"}, f"what measuring {variant} gave", EdgewrightError
        )
        return measurement_of(told)


def _patience(backend: Backend, file: ModelFile, plan: Plan) -> float:
    """How long a process may take to measure a file, after what a run of it took in one.

    Raises:
        ModelFileError: it is not lived through, or takes too long.
    """
    import numpy as np

    from edgewright.runtime import trust

    session = trust.isolated(backend, file, plan.threads)
    try:
        batch, *shape = session.input.shape
        taken = 0.0
        if min(shape) > 0:
            start = time.monotonic()
            session.run(np.full((max(batch, 1), *shape), 100, session.input.dtype))
            taken = time.monotonic() - start
    finally:
        session.close()
    planned = plan.seconds + plan.warmup_seconds + 2 * plan.end_to_end_seconds + plan.throughput_seconds
    return _START_SECONDS + 10 * planned + 20 * taken * (plan.runs + 4 * plan.end_to_end_runs)


TARGET = Local()
