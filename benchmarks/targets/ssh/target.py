"""Any Linux that the system's OpenSSH reaches: a Raspberry Pi, a board, a server.

The project's runtime and the interpreters of the versions that are here are sent there, once for each set
of them; nothing is installed on the system. Then it is as on this machine: golden images, and a fresh process
for each measurement, by the same program.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.targets import AT, IMAGES, Say, Target, _wheels
from edgewright.benchmarks.targets.ssh.agent import ROOT
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import TargetError


class SSH(Target):
    """A measurement a process, as of `local`, of the device's own `environment`; `check` is how its scores
    stand to the recorded ones. Counts: `accuracy` on the images that were given, `cpu_celsius` and `cpu_mhz`
    a second while it was measured, where Linux tells them."""

    title = "any Linux that ssh reaches"
    summary = (
        "a device's CPU through the project's own runtime there, one process a variant; wall time, so other "
        "load shows in it, and heat"
    )
    repeats = True
    devices = True
    at = ":[USER@]HOST"
    options = (IMAGES,)

    def missing(self) -> str:
        lacking = [] if shutil.which("ssh") else ["ssh (install OpenSSH's client)"]
        return "; ".join([*lacking, *([] if _wheels.installer() else ["pip or uv"])])

    def check(self, bundle: Bundle, variant: str, plan: Plan) -> None:
        from edgewright.benchmarks.targets.ssh import line

        line.destination(plan.options[AT])
        if "images" in plan.options:
            from edgewright.benchmarks.measure import images

            images.read(Path(plan.options["images"]), bundle.manifest)

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        plan = dataclasses.replace(plan, processes=1)
        return self.run_all(bundle, (variant,), (plan,), say=say)[0]

    def run_all(
        self,
        bundle: Bundle,
        variants: Sequence[str],
        plans: Sequence[Plan],
        done: Callable[[str], None] = lambda variant: None,
        say: Say = lambda line: None,
    ) -> list[Measurement]:
        from edgewright.benchmarks.measure import images
        from edgewright.benchmarks.targets.ssh import line
        from edgewright.benchmarks.targets.ssh.device import Device

        if lacking := self.missing():
            raise TargetError(f"target ssh needs {lacking}")
        at, given = plans[0].options[AT], plans[0].options.get("images")
        pixels, classes = images.read(Path(given), bundle.manifest) if given else (None, None)
        with line.opened(at) as connection:
            device = Device(connection, bundle, variants, say)
            device.prepare(pixels)
            device.prove(pixels, classes)
            found = device.run_all(bundle, variants, plans, done, say)
        say(
            f"kept on {at} for the next time, until it is not used for a month: {ROOT}; "
            f"to remove it: ssh {line.destination(at)} 'rm -rf {ROOT}'"
        )
        return found


TARGET = SSH()
