"""Whether kernels live through a file, tried in a process of its own.

Somebody vouched for the file (`edgewright.runtime.trust`); but LiteRT's reference kernels, which no device
takes, end the process where they meet an operator in a form that they do not know.

python -P -m edgewright.export.explaining.trial
"""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path

import numpy as np

from edgewright.export.explaining.comparison import probe
from edgewright.export.explaining.opening import Opened, network_of
from edgewright.runtime.errors import EdgewrightError, ModelFileError
from edgewright.runtime.machine.child import ChildProcess, receive, send, standard_pipes

_COMMAND = ("-P", "-m", "edgewright.export.explaining.trial")
_SECONDS = 120.0


def ensure(one: Opened, kernels: str) -> None:
    """Raises `ModelFileError`: the kernels cannot run the file, or do not live through it."""
    given = one.file.inputs[0]
    told = {
        "path": str(one.file.path),
        "kernels": kernels,
        "shape": [1, *given.shape[1:]],
        "dtype": given.dtype,
    }
    with ChildProcess([sys.executable, *_COMMAND]) as child:
        answer = child.ask(told, one.file.raw, seconds=_SECONDS)
        if answer is not None:
            if "error" in answer[0]:
                raise ModelFileError(str(answer[0]["error"]))
            return
        how = f"take more than {_SECONDS:.0f} s" if child.late else f"end with status {child.status()}"
        with contextlib.suppress(ValueError):
            how = how if child.late else f"crash ({signal.Signals(-child.status()).name})"
    raise ModelFileError(f"the {kernels} kernels {how} on {one.file.path}: not compared by them")


def main() -> None:
    """The process: run what comes once, whole and cut."""
    questions, answers = standard_pipes()
    while (question := receive(questions)) is not None:
        told, raw = question
        try:
            network = network_of(Path(told["path"]), raw)
            pixels = np.full(told["shape"], 100, told["dtype"])
            steps = [step for step, _ in probe(network, pixels)]
            *values, _ = network.whole(steps, told["kernels"])(pixels, {})
            given = {step.value: value for step, value in zip(steps, values, strict=True)}
            network.cut(steps, told["kernels"])(pixels, given)
            answer = {}
        except EdgewrightError as failure:
            answer = {"error": str(failure)}
        send(answers, answer)


if __name__ == "__main__":
    main()
