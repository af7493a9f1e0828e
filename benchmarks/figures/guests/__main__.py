"""Makes every guest, takes it through `export` or the runtime, and publishes what became of it, a row a file.

A model's files are judged by the product's own gate. Beside that, `max_abs_error` is how far the scores of
every written file are from what the maker's own tool gives of the same 16 pictures: Keras' `predict`, or the
bare interpreter for files.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.benchmarks.figures import publish, script
from edgewright.benchmarks.figures.guests import Guest, all_guests
from edgewright.benchmarks.measure import environment
from edgewright.runtime import console, load
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import EdgewrightError, UnknownNameError

Row = dict[str, Any]
MAX_DROP = "0.02"
_COMPLAINT = "edgewright: "
_MADE, _TRIED = "made.json", "tried.npz"


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="which; others keep the rows they have (default: all)")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--make", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    guests = all_guests()
    for name in arguments.names:
        if name not in guests:
            raise UnknownNameError("guest", name, guests)
    if arguments.make:
        make(guests[arguments.names[0]], arguments.make)
        return 0
    path = arguments.out / "guests.json"
    kept = publish.held(path)
    rows = {name: [dict(row) for row in kept if row.get("model") == name] for name in guests}
    for name in arguments.names or guests:
        rows[name] = tried(name)
        publish.write(path, environment.describe(), [row for made in rows.values() for row in made])
    return 0


def make(guest: Guest, folder: Path) -> None:
    """Make it, and leave beside it how it is handed over."""
    brought = guest.make(folder)
    (folder / _MADE).write_bytes(jsonio.dump({"path": str(brought.path), "words": list(brought.words)}))
    if brought.x is not None and brought.scores is not None:
        np.savez(folder / _TRIED, x=brought.x, scores=brought.scores)


def tried(name: str) -> list[Row]:
    """What becomes of a guest: a row a file that was tried."""
    guest = all_guests()[name]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        words = ["-m", "edgewright.benchmarks.figures.guests", name, "--make", str(folder)]
        script.python(words, f"making {name}")
        made = json.loads((folder / _MADE).read_text(encoding="utf-8"))
        rows = _of_file(made, folder) if guest.file else _of_model(made, folder)
    for row in rows:
        console.say(f"{name}: {row['format']}-{row['scheme']} {row['verdict']} {row['reason']}")
    common = {"model": name, "origin": guest.origin}
    return [{**common, **row, "reason": row["reason"].replace(place, "")[:300]} for row in rows]


def _of_model(made: Mapping[str, Any], folder: Path) -> list[Row]:
    """As `export` takes it, with nothing of it in the cache."""
    out = folder / "bundle"
    command = ["export", made["path"], "--out", str(out), "--max-drop", MAX_DROP, *made["words"]]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "edgewright.runtime", *command],
            env=os.environ | {"EDGEWRIGHT_CACHE": cache},
            capture_output=True,
            encoding="utf-8",
        )
    seconds = round(time.perf_counter() - start, 1)
    if not out.exists():
        said = [line for line in done.stderr.splitlines() if line.startswith(_COMPLAINT)]
        complaint = (said or ["no message"])[0].removeprefix(_COMPLAINT)
        return [_row("-", "-", "refused", complaint, seconds, None)]
    manifest = Bundle.open(out).manifest
    rows = []
    for entry in manifest.variants:
        error = _error(out, folder, variant=entry.name)
        row = _row(entry.format, entry.scheme, entry.parity.verdict, "", seconds, error)
        rows.append({**row, "file_sha256": entry.file.sha256})
    for refused in manifest.refused:
        format_, _, scheme = str(refused["name"]).partition("-")
        parity = refused.get("parity") or {"verdict": "failed"}
        reason = str(refused["reason"])
        error = parity.get("max_abs_error")
        rows.append(_row(format_, scheme, parity["verdict"], reason, seconds, error))
    data = manifest.provenance["data"].get("sha256")
    return [{**row, "data_sha256": data} for row in rows] if data else rows


def _of_file(made: Mapping[str, Any], folder: Path) -> list[Row]:
    """As the runtime takes it, with the same words as `load` has arguments."""
    path, start = Path(made["path"]), time.perf_counter()
    asked = json.loads(made["words"][0]) if made["words"] else {}
    format_ = path.suffix.removeprefix(".")
    behind = {"file_sha256": files.sha256_of(path)}
    try:
        error = _error(path, folder, **asked)
    except EdgewrightError as failure:
        refused = _row(format_, "foreign", "refused", str(failure), time.perf_counter() - start, None)
        return [refused | behind]
    verdict = "passed" if error is not None and error <= 1e-5 else "differs"
    return [_row(format_, "foreign", verdict, "", round(time.perf_counter() - start, 1), error) | behind]


def _error(model: Path, folder: Path, **asked: Any) -> float | None:
    """How far the scores are from those that the maker's tool gave."""
    if not (folder / _TRIED).exists():
        return None
    with np.load(folder / _TRIED) as tried, load(model, **asked) as predictor:
        scores = np.concatenate([predictor.scores(image[np.newaxis]) for image in tried["x"]])
        return float(np.abs(scores - tried["scores"].reshape(scores.shape)).max())


def _row(format_: str, scheme: str, verdict: str, reason: str, seconds: float, error: float | None) -> Row:
    return {
        "format": format_,
        "scheme": scheme,
        "verdict": verdict,
        "reason": reason,
        "seconds": round(seconds, 1),
        "max_abs_error": None if error is None else float(f"{error:.3g}"),
    }


if __name__ == "__main__":
    script.run(main)
