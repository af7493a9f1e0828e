"""The program that measures on the device, in the environment that was made there: the project's own runtime.

    python guest.py JOB      (JOB is JSON; see `device.py`)

It writes one message to standard output: a measurement, or scores with their bytes. What they are worth is
judged where they are asked for.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from edgewright.benchmarks.record.measurement import Plan
from edgewright.benchmarks.targets import local
from edgewright.runtime import backends, trust
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import EdgewrightError
from edgewright.runtime.machine.child import send, standard_pipes


def main(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    bundle = Bundle.open(Path(job["bundle"]))
    entry = bundle.variant(job["variant"])
    path = bundle.path(entry.file)
    if job["vouched"]:  # there, by whom this one is asked; the list goes with the run folder
        trust.introduce(entry.file.sha256, backends.for_path(path), "vouched for where it comes from")
    if "plan" in job:
        return dataclasses.asdict(local.TARGET.run(bundle, entry.name, Plan(**job["plan"]))), b""
    return _scores(bundle, path, job["images"])


def _scores(bundle: Bundle, path: Path, images: str | None) -> tuple[dict[str, Any], bytes]:
    """Scores of the golden images, then of the others, float32 `(n, scores)`."""
    import numpy as np

    from edgewright.runtime.foreign import told_of
    from edgewright.runtime.predictor import load
    from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

    golden = read_golden(bundle)[GOLDEN_INPUTS]
    others = golden[:0] if images is None else np.load(images)
    with load(path, **told_of(bundle.manifest)) as predictor:
        found = [predictor.scores(image[np.newaxis]) for image in (*golden, *others)]
        kernels = predictor.session.kernels
    scores = np.concatenate(found).astype("<f4")
    return {"kernels": kernels, "shape": list(scores.shape)}, scores.tobytes()


if __name__ == "__main__":
    _, answers = standard_pipes()
    try:
        send(answers, *main(json.loads(sys.argv[1])))
    except EdgewrightError as failure:
        sys.exit(" ".join(str(failure).split()))
