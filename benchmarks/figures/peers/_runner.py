"""Runs one peer in the peer's own Python, so it uses nothing of Edgewright.

    PYTHON -P _runner.py PEER.py JOB

JOB is JSON: `model` as `Peer.open` takes it, `pictures` the paths of JPEG files. Says the peer's version and
the label of each picture, then for each line on standard input the nanoseconds that each of them took;
or what failed. All on standard output, JSON, a line each.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np


def main(peer_file: str, job: dict[str, Any]) -> None:
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a peer prints is no answer
    model = job["model"]

    def decode(jpeg: bytes) -> Any:
        from PIL import Image

        picture = Image.open(io.BytesIO(jpeg)).convert("L" if model["channels"] == 1 else "RGB")
        picture = picture.resize((model["width"], model["height"]), Image.Resampling.BILINEAR)
        return np.asarray(picture).reshape(model["height"], model["width"], model["channels"])

    try:
        spec = importlib.util.spec_from_file_location("peer", peer_file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        pictures = [Path(path).read_bytes() for path in job["pictures"]]
        label = module.PEER.open(model, decode)
        labels = [label(picture) for picture in pictures]
        ready = {"labels": labels, "version": metadata.version(module.PEER.package)}
    except Exception as failure:  # whatever a peer raises at a file it cannot read
        out.write(json.dumps({"failed": f"{type(failure).__name__}: {failure}"}) + "\n")
        return
    out.write(json.dumps(ready) + "\n")
    clock = time.perf_counter_ns
    for _ in sys.stdin:
        taken = []
        for picture in pictures:
            start = clock()
            label(picture)
            taken.append(clock() - start)
        out.write(json.dumps({"samples_ns": taken}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
