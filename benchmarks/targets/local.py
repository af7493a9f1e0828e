"""This machine's CPU. Each variant gets a fresh process, so that memory and load time are its own."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.targets import Option, Say
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import BundleError, EdgewrightError


class Local:
    title = "this machine"
    summary = "this machine's CPU, one process a variant; wall time, so other load shows in it"
    repeats = True
    options: tuple[Option, ...] = ()

    def missing(self) -> str:
        return ""

    def check(self, bundle: Bundle, variant: str, plan: Plan) -> None:
        pass

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        from edgewright.runtime.predictor import load

        path = bundle.path(bundle.variant(variant).file)
        load(path).close()  # what opens a file for the first time on a machine tries it in another process
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "measurement.json")
            job = {
                "bundle": str(bundle.folder.resolve()),
                "variant": variant,
                "plan": dataclasses.asdict(plan),
                "out": str(out),
            }
            command = [sys.executable, "-P", "-m", "edgewright.benchmarks.measure.probe", json.dumps(job)]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                lines = done.stderr.strip().splitlines()
                last = lines[-1] if lines else f"measuring {variant} ended with status {done.returncode}"
                raise EdgewrightError(last)
            found = jsonio.read(out, BundleError).data
        return Measurement(target="local", **found)


TARGET = Local()
