"""`scores.js` gives the probabilities and decisions of `runtime/contract/heads.py`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgewright.apps import web
from edgewright.runtime.contract.heads import Head

_SCRIPT = """
import { dequantized, ranked } from "./scores.js";
import { readFileSync } from "node:fs";
const cases = JSON.parse(readFileSync("cases.json"));
const one = ({ head, threshold, raw, output }) => ranked(head, threshold, dequantized(raw, output));
console.log(JSON.stringify(cases.map(one)));
"""


def test_scores_mean_what_they_mean_in_python(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here")
    rng, cases, expected = np.random.default_rng(3), [], []
    kinds = [
        ("softmax", 10),
        ("logits", 10),
        ("sigmoid", 1),
        ("sigmoid", 6),
        ("sigmoid-logits", 1),
        ("sigmoid-logits", 6),
    ]
    for kind, count in kinds:
        for number in range(20):
            head = Head(kind=kind, count=count, threshold=0.5 if number % 2 else 0.3)
            scores = rng.random((1, count)).astype(np.float32)
            if "logits" in kind:
                scores = ((scores - 0.5) * (200 if number % 3 else 4)).astype(np.float32)
            scores[0, number % count] = scores.max()  # of equal scores the first
            cases.append(
                {
                    "head": kind,
                    "threshold": head.threshold,
                    "raw": scores[0].tolist(),
                    "output": {"scale": 0.0},
                }
            )
            expected.append((head, scores))
    head, raw = Head(kind="softmax", count=3), [3, 200, 53]
    cases.append(
        {"head": "softmax", "threshold": 0.5, "raw": raw, "output": {"scale": 1 / 256, "zero_point": 3}}
    )
    expected.append((head, ((np.array([raw], np.float32) - 3) * np.float32(1 / 256)).astype(np.float32)))
    (tmp_path / "scores.js").write_bytes(web.scripts()["scores.js"])
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    (tmp_path / "run.mjs").write_text(_SCRIPT)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    done = subprocess.run([node, "run.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True)
    for (head, scores), found in zip(expected, json.loads(done.stdout), strict=True):
        shares = head.probabilities(scores)[0]
        assert np.abs(np.array(found["shares"]) - shares).max() < 1e-6
        decided = head.decisions(scores)[0]
        wanted = sorted(np.flatnonzero(decided).tolist()) if head.is_multi_label else [int(decided)]
        assert sorted(found["decided"]) == wanted
        assert found["order"][: len(wanted)] == found["decided"]
        assert sorted(found["order"]) == list(range(head.labels))
