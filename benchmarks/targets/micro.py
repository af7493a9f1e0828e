"""Whether a microcontroller's runtime gives a file's scores: TensorFlow Lite Micro beside LiteRT's reference
kernels, which it is made after. Nothing is timed: it runs on this machine's processor."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from edgewright.benchmarks.agreement import EngineError
from edgewright.benchmarks.agreement.interpreting import MICRO, REFERENCE, Interpreter, kept_going
from edgewright.benchmarks.record.measurement import Check, Measurement, Plan
from edgewright.benchmarks.targets import IMAGES, Say, Target
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import InputError, MissingExtraError, TargetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewright.benchmarks.agreement.locating import Finding
    from edgewright.runtime.backends import Pixels, Scores
    from edgewright.runtime.contract import TensorSpec
    from edgewright.runtime.contract.heads import Head
    from edgewright.runtime.graph import Graph

STEPS = 2  # of the scores' 8 bits: what two ways of rounding the same sums come to
_PROBES = 4
_REMEDY = "write the layer in operators that it has"
_MOST_NAMED = 8


class Micro(Target):
    """`check` says how far TensorFlow Lite Micro's scores are from those of LiteRT's reference kernels;
    `arena_bytes` is the working memory it takes, weights not among it."""

    title = "right answers of a microcontroller's runtime"
    summary = (
        "TensorFlow Lite Micro's reference kernels on this machine's processor beside LiteRT's: whether "
        "scores are the same, and working memory; not covered: a vendor's kernels (CMSIS-NN), a board's time"
    )
    repeats = False
    options = (IMAGES,)

    def missing(self) -> str:
        return ENGINE.missing()

    def check(self, bundle: Bundle, variant: str, plan: Plan) -> None:
        from edgewright.benchmarks.agreement.locating import layer_of
        from edgewright.runtime import backends

        entry = bundle.variant(variant)
        path, raw = bundle.read(entry.file)
        if path.suffix != ".tflite":
            raise InputError(
                f"expected an integer .tflite for target micro, got {path.name}; take tflite-int8"
            )
        if plan.threads != 1:
            raise InputError(f"expected 1 thread for target micro, got {plan.threads}: it has no threads")
        if entry.input.shape[0] > 1:
            raise InputError(
                f"expected a file of one image at a time for target micro, got {path.name}, which takes "
                f"{entry.input.shape[0]}; export it without --batch"
            )
        backend = backends.for_path(path)
        graph = backend.graph(backend.parse(path, raw))
        place = in_floats(graph)
        if place is not None:
            layer = layer_of(graph, [place])
            what = f"{graph.nodes[place].operator}{f' ({layer})' if layer else ''}"
            raise InputError(
                f"expected an integer .tflite for target micro, got {path.name}, whose {what} computes in "
                "floats; take tflite-int8"
            )
        if "images" in plan.options:
            from edgewright.benchmarks.measure import images

            images.read(Path(plan.options["images"]), bundle.manifest)
        if lacking := self.missing():
            raise MissingExtraError(lacking.partition(";")[0], "micro")

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        import numpy as np

        from edgewright.benchmarks.measure import environment, images
        from edgewright.runtime.foreign import bare, told_of
        from edgewright.runtime.predictor import load
        from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

        entry = bundle.variant(variant)
        path, raw = bundle.read(entry.file)
        golden = read_golden(bundle)[GOLDEN_INPUTS]
        others = images.varied(golden, images.MOST)
        if "images" in plan.options:
            others, _ = images.read(Path(plan.options["images"]), bundle.manifest)
        with load(path, **told_of(bundle.manifest)) as predictor:
            _, given = bare(predictor.session, golden)
            _, more = bare(predictor.session, others)
            output, head = predictor.session.output, predictor.head
        images_given = np.concatenate([given, more])
        with kept_going(ENGINE) as engine:
            check, notes, arena = judge(raw, engine, images_given, len(given), entry.input, output, head)
        version = metadata.version("tflite-micro")
        litert = metadata.version("ai-edge-litert")
        return Measurement(
            variant=variant,
            target="micro",
            threads=1,
            kernels=f"tflite-micro {version}",
            environment={
                **environment.describe(),
                "cpu": f"tflite-micro {version} beside the reference kernels of LiteRT {litert}",
                "machine": "micro",
                "isa": [],
                "load_1min": None,
                "images": "given" if "images" in plan.options else "golden and varied ones",
            },
            counts={"arena_bytes": [float(arena)]} if arena else {},
            notes=[f"{variant} in tflite-micro: {note}" for note in notes],
            check=check,
        )


def judge(
    raw: bytes,
    engine: Interpreter,
    images: NDArray[Any],
    golden: int,
    given: TensorSpec,
    output: TensorSpec,
    head: Head,
) -> tuple[Check, list[str], int]:
    """The verdict on a file, what is to be said of it, and the bytes of its arena, 0 if it does not run.

    It is `right` if no score is off by more than two of its steps and each image has the same label. Else the
    operator that is off by itself is looked for; where none is by more than two steps, roundings add up, the
    file `differs`, and the first is named that is off at all. Of a file that is not taken, all operators that
    are not are named.

    Args:
        raw: the file.
        engine: TensorFlow Lite Micro.
        images: as the file takes them, `(n, height, width, channels)`; the first `golden` are all run, the
            others while there is time.
        given, output, head: its input, its output, and what its scores mean.

    Raises:
        TargetError: LiteRT's reference kernels do not run it.
    """
    import numpy as np

    from edgewright.benchmarks.agreement import judging
    from edgewright.benchmarks.agreement.cpu import floats
    from edgewright.benchmarks.agreement.locating import locate, refused

    theirs: list[Scores] = []
    mine: list[Scores] = []
    arena, died, end = 0, "", time.monotonic() + judging.SECONDS
    with _Reference(raw, given, output) as reference:
        try:
            with engine.open(raw) as running:
                for place, image in enumerate(images):
                    if place >= golden and time.monotonic() > end:
                        break
                    theirs.append(floats(running.run([image[np.newaxis]])[0], output))
                    mine.append(reference.run(image[np.newaxis]))
                arena = running.arena_bytes()
        except EngineError as failure:
            died = str(failure)
    check = judging.compare(theirs, mine, head, rounded=True, fails=bool(died))
    if died:
        lacking = refused(raw, engine, [images[:1]])
        return _named(check, lacking[0] if lacking else None, "wrong", _REMEDY), _listed(died, lacking), 0
    if check.max_abs_error <= STEPS * (output.scale or 0.0) * 1.01 and check.agreement == 1.0:
        return _named(check, None, "right"), [], arena
    far = [float(np.abs(a - b).max()) for a, b in zip(theirs, mine, strict=True)]
    probes = [images[place : place + 1] for place in np.argsort(far)[::-1][:_PROBES]]
    fault = locate(raw, engine, probes, reference=True)
    verdict = "differs" if fault is None else "wrong"
    fault = fault or locate(raw, dataclasses.replace(engine, steps=0, error=0.0), probes, reference=True)
    notes = (
        [] if fault is None else [f"{_called(fault)} is the first to be off, by {fault.max_steps:g} steps"]
    )
    return _named(check, fault, verdict), notes, arena


def _named(check: Check, fault: Finding | None, verdict: str, remedy: str = "") -> Check:
    operator, layer = (fault.operator, fault.layer) if fault else ("", "")
    return dataclasses.replace(
        check, verdict=verdict, first_wrong_op=operator, layer=layer, remedy=remedy if fault else ""
    )


def _listed(died: str, lacking: Sequence[Finding]) -> list[str]:
    """A note of what is not taken."""
    names = list(dict.fromkeys(map(_called, lacking)))
    rest = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return [f"{died}; it does not take {', '.join(names[:_MOST_NAMED])}{rest}" if names else died]


def _called(fault: Finding) -> str:
    return f"{fault.operator} ({fault.layer})" if fault.layer else fault.operator


def in_floats(graph: Graph) -> int | None:
    """The place of the first operator that multiplies floats, None if all do integers."""
    for place, node in enumerate(graph.nodes):
        if node.macs and graph.tensors[node.inputs[0]].dtype.startswith("float"):
            return place
    return None


class _Reference:
    """LiteRT's reference kernels as a `Session`, in a process apart."""

    def __init__(self, raw: bytes, given: TensorSpec, output: TensorSpec) -> None:
        self.input, self.output, self.kernels = given, output, "reference"
        try:
            self._running = Interpreter(kernels=REFERENCE).open(raw)
        except EngineError as failure:
            raise _not_held(failure) from failure

    def run(self, pixels: Pixels) -> Scores:
        from edgewright.benchmarks.agreement.cpu import floats

        try:
            return floats(self._running.run([pixels])[0], self.output)
        except EngineError as failure:
            raise _not_held(failure) from failure

    def close(self) -> None:
        self._running.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def _not_held(failure: EngineError) -> TargetError:
    return TargetError(f"it cannot be held against LiteRT's reference kernels: {failure}")


ENGINE = Interpreter(kernels=MICRO, steps=STEPS)
TARGET = Micro()
