"""The program that runs in the emulated machine: the project's own runtime, as on a device.

    python3 guest.py JOB      (JOB is JSON; see `inference.py`)

A call of `os.sched_yield` before and after each counted inference marks them for QEMU's plugin.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.runtime import backends, trust
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import EdgewrightError
from edgewright.runtime.foreign import told_of
from edgewright.runtime.predictor import load
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden


def main(job: dict[str, Any]) -> None:
    bundle = Bundle.open(Path(job["bundle"]))
    inputs = read_golden(bundle)[GOLDEN_INPUTS]
    path = bundle.path(bundle.variant(job["variant"]).file)
    trust.stand_apart()  # this machine is the one apart, and could not start another process
    with load(path, **told_of(bundle.manifest)) as predictor:
        pixels = [image[np.newaxis].copy() for image in inputs]
        golden = np.concatenate([predictor.scores(one) for one in pixels])
        run, mark = predictor.session.run, os.sched_yield
        gc.disable()
        for one in pixels:
            mark()
            run(one)
            mark()
        gc.enable()
        images = () if job["images"] is None else np.load(job["images"])
        tested = [predictor.scores(image[np.newaxis]) for image in images]
        kernels = predictor.session.kernels
    backend = backends.for_path(path)
    file = backend.read(path)
    outside = backend.undelegated(file)
    np.savez(job["scores"], golden=golden, images=np.concatenate(tested or [golden[:0]]))
    operators = None if outside is None else [backend.graph(file).nodes[place].operator for place in outside]
    Path(job["out"]).write_text(json.dumps({"kernels": kernels, "outside": operators}))


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except EdgewrightError as failure:
        sys.exit(" ".join(str(failure).split()))
