"""Fuzzing with coverage: each reader is given what brings it where it has not been, until it breaks.

    python -m edgewright.benchmarks.figures.reliability.fuzz onnx --seconds 60

Anything but an error of ours, an input that takes ten seconds or two gigabytes, or one that is accepted and
read otherwise by its format's own project, ends it with a status other than 0 and is left in the folder that
`--found` names. Needs Atheris (the extra `fuzz`), which is there for Linux: https://github.com/google/atheris
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from edgewright.benchmarks.figures import script
from edgewright.runtime.errors import EdgewrightError, InputError, MissingExtraError

_NAMES = ("onnx", "tflite", "manifest", "contract", "picture")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", choices=_NAMES)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--found", type=Path, default=Path(".cache/fuzz"))
    arguments = parser.parse_args(words)
    if arguments.seconds < 1:
        raise InputError(f"expected --seconds of at least 1, got {arguments.seconds}")
    try:
        import atheris
    except ImportError as failure:
        raise MissingExtraError("Atheris, which fuzzes,", "fuzz") from failure
    with atheris.instrument_imports(include=["edgewright.runtime"]):
        from edgewright.benchmarks.figures.reliability.targets import CORPUS, TARGETS

        target = TARGETS[arguments.target]
        for seed in target.seeds():
            _try(target.read, seed)  # so that what is imported on use is instrumented too
    arguments.found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as grown:  # what is found to be of interest goes there
        options = {
            "max_total_time": arguments.seconds,
            "timeout": 10,
            "rss_limit_mb": 2048,
            "max_len": 4096,
            "artifact_prefix": f"{arguments.found}/{target.name}-",
            "print_final_stats": 1,
        }
        flags = [f"-{name}={value}" for name, value in options.items()]
        atheris.Setup(
            [sys.argv[0], *flags, grown, str(CORPUS / target.name)],
            lambda raw: _try(target.read, raw),
            enable_python_coverage=True,
        )
        atheris.Fuzz()  # ends the process
    return 0


def _try(read: object, raw: bytes) -> None:
    assert callable(read)
    try:
        wrong = read(raw, True)
    except EdgewrightError:
        return
    if wrong:
        raise AssertionError(f"accepted, and read otherwise: {wrong}")


if __name__ == "__main__":
    script.run(main)
