"""This machine's CPU. Each variant gets a fresh process, so that memory and load time are its own."""

from __future__ import annotations

import dataclasses
import json
import sys

from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.targets import Say, Target
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import EdgewrightError
from edgewright.runtime.machine.child import ChildProcess


class Local(Target):
    title = "this machine"
    summary = "this machine's CPU, one process a variant; wall time, so other load shows in it"
    repeats = True

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        from edgewright.runtime import trust

        trust.introduce(bundle.path(bundle.variant(variant).file))
        job = {"bundle": str(bundle.folder.resolve()), "variant": variant, "plan": dataclasses.asdict(plan)}
        command = [sys.executable, "-P", "-m", "edgewright.benchmarks.measure.probe", json.dumps(job)]
        with ChildProcess(command, log=True) as child:
            answer = child.hear()
            if answer is None:
                status = child.status()
                raise EdgewrightError(child.last_line() or f"measuring {variant} ended with status {status}")
        return Measurement(target="local", **answer[0])


TARGET = Local()
