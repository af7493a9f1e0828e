"""Fuzzing with coverage: each reader is given what brings it where it has not been, until it breaks.

    python -m edgewright.benchmarks.figures.reliability.fuzz onnx --seconds 60 [--out DIR]

Anything but an error of ours, an input that takes ten seconds of the processor or two gigabytes, or one that
is accepted and read otherwise by its format's own project, ends it with a status other than 0 and is left in
the folder that `--found` names. With `--out` a row of what was tried goes into `DIR/reliability.json`. Needs
Atheris (the extra `fuzz`), which is there for Linux: https://github.com/google/atheris
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.reliability import mutation
from edgewright.runtime import console
from edgewright.runtime.errors import EdgewrightError, InputError, MissingExtraError

_HANG_SECONDS = 10
_READERS = tuple(
    f"edgewright.runtime.{name}" for name in ("backends", "bundle.manifest", "contract", "preprocess")
)
_NAMES = ("onnx", "tflite", "manifest", "contract", "picture")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", choices=_NAMES)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--found", type=Path, default=Path(".cache/fuzz"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--counts", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.seconds < 1:
        raise InputError(f"expected --seconds of at least 1, got {arguments.seconds}")
    if arguments.out:
        from edgewright.benchmarks.figures.reliability.rows import put

        row = fuzzed(arguments.target, arguments.seconds, arguments.found)
        console.say(", ".join(f"{key} {value}" for key, value in row.items()))
        put(arguments.out, [row])
        return 0
    try:
        import atheris
    except ImportError as failure:
        raise MissingExtraError("Atheris, which fuzzes,", "fuzz") from failure
    if early := [name for name in _READERS if name in sys.modules]:
        raise EdgewrightError(f"expected nothing of what is fuzzed to be imported yet, got {early[0]}")
    with atheris.instrument_imports(include=["edgewright.runtime"]):
        from edgewright.benchmarks.figures.reliability.targets import CORPUS, TARGETS

        target = TARGETS[arguments.target]
        for seed in target.seeds():
            _try(target.read, seed)  # so that what is imported on use is instrumented too
    fates = (
        np.memmap(arguments.counts, np.int64, "r+", shape=3) if arguments.counts else np.zeros(3, np.int64)
    )
    arguments.found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as grown:  # what is found to be of interest goes there
        options = {
            "max_total_time": arguments.seconds,
            "timeout": 120,  # of the clock, which a busy machine needs
            "rss_limit_mb": 2048,
            "max_len": 4096,
            "artifact_prefix": f"{arguments.found}/{target.name}-",
            "print_final_stats": 1,
        }
        flags = [f"-{name}={value}" for name, value in options.items()]

        def mutate(raw: bytes, most: int, seed: int) -> bytes:
            """A text in JSON mostly becomes another one: of changed bytes hardly any would still be one."""
            random = np.random.default_rng(seed)
            if target.is_json and random.integers(4):
                with contextlib.suppress(ValueError, RecursionError, TypeError):
                    changed = mutation.json_text(raw, random)
                    if len(changed) <= most:
                        return changed
            return bytes(atheris.Mutate(raw, most))

        atheris.Setup(
            [sys.argv[0], *flags, grown, str(CORPUS / target.name)],
            lambda raw: _count(fates, target.read, target.stamped(raw)),
            enable_python_coverage=True,
            **({"custom_mutator": mutate} if target.is_json else {}),
        )
        atheris.Fuzz()  # ends the process
    return 0


def _try(read: Callable[[bytes, bool], str], raw: bytes) -> bool:
    """Whether it was accepted."""
    try:
        wrong = read(raw, True)
    except EdgewrightError:
        return False
    if wrong:
        raise AssertionError(f"accepted, and read otherwise: {wrong}")
    return True


def _count(fates: NDArray[np.int64], read: Callable[[bytes, bool], str], raw: bytes) -> None:
    """Count it as refused or accepted; the third is the most nanoseconds of the processor that one took."""
    begun = time.process_time_ns()
    fates[int(_try(read, raw))] += 1
    taken = time.process_time_ns() - begun
    fates[2] = max(fates[2], taken)
    if taken > _HANG_SECONDS * 1e9:
        raise AssertionError(f"took {taken / 1e9:.0f} seconds of the processor")


def fuzzed(target: str, seconds: int, found: Path) -> dict[str, Any]:
    """Fuzz in a process of its own, and count what was tried until nothing was found.

    Raises:
        EdgewrightError: something was found, or Atheris cannot run.
    """
    with tempfile.TemporaryDirectory() as folder:
        counts, log = Path(folder, "counts"), found / f"{target}.log"
        counts.write_bytes(bytes(24))
        found.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-P", "-m", __spec__.name, target, "--seconds", str(seconds)]
        words += ["--found", str(found), "--counts", str(counts)]
        begun = time.monotonic()
        with log.open("wb") as file:
            status = subprocess.run(words, stdout=file, stderr=file, stdin=subprocess.DEVNULL, check=False)
        said = log.read_text(errors="replace")
        if status.returncode:
            raise EdgewrightError(f"fuzzing {target} ended with {status.returncode}; see {log}")
        refused, accepted, slowest_ns = np.fromfile(counts, np.int64).tolist()
    first, most = _megabytes(r"INITED.* rss: (\d+)Mb", said), _megabytes(r"stat::peak_rss_mb:\s+(\d+)", said)
    return {
        "attack": f"fuzz-{target}",
        "inputs": accepted + refused,
        "accepted": accepted,
        "refused": refused,
        "crashes": 0,
        "hangs": 0,
        "most_bytes": (most - first) * 2**20,
        "accepted_wrong": 0,
        "slowest_seconds": round(slowest_ns / 1e9, 3),
        "seconds": round(time.monotonic() - begun, 1),
    }


def _megabytes(pattern: str, said: str) -> int:
    found = re.search(pattern, said)
    if found is None:
        raise EdgewrightError("expected libFuzzer's figures at the end of its run, got others")
    return int(found[1])


if __name__ == "__main__":
    script.run(main)
