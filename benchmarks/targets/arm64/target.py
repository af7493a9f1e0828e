"""Two arm64 processors under QEMU's user mode: right answers and instructions, and no time at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.targets import IMAGES, Say, Target
from edgewright.benchmarks.targets.arm64 import machine
from edgewright.benchmarks.targets.arm64.processors import PROCESSORS
from edgewright.runtime.bundle.manifest import Bundle, VariantEntry
from edgewright.runtime.errors import InputError

if TYPE_CHECKING:
    from edgewright.benchmarks.targets.arm64.inference import Inference
    from edgewright.runtime.backends import Pixels, Scores


class Arm64(Target):
    """Counts, each with the processor's name in front (`a53_instructions`):

    `instructions`: of one inference of raw pixels through the runtime, one thread, a sample a golden image.
    `golden_max_abs_error`: largest difference of any score from the exporting host's.
    `ops_outside_xnnpack`: operators of a .tflite that XNNPACK did not take.
    `accuracy`, `same_class_as_host`: shares of the test images, where there are any.
    """

    title = "answers and instructions of an emulated Cortex-A53 and A76"
    summary = (
        "aarch64 interpreters under QEMU as Cortex-A53 and Cortex-A76: answers as on a device and "
        "instructions per inference, which repeat; no cycles, milliseconds or memory: caches and pipelines "
        "are not emulated"
    )
    repeats = False
    options = (IMAGES,)

    def missing(self) -> str:
        return machine.missing()

    def check(self, bundle: Bundle, variant: str, plan: Plan) -> None:
        if plan.threads != 1:
            raise InputError(
                f"expected 1 thread for target arm64, got {plan.threads}: it counts what one thread does"
            )
        if "images" in plan.options:
            from edgewright.benchmarks.measure import images

            images.read(Path(plan.options["images"]), bundle.manifest)

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        import numpy as np

        from edgewright.benchmarks.measure import images
        from edgewright.benchmarks.targets.arm64.inference import infer
        from edgewright.runtime.contract.heads import Head
        from edgewright.runtime.verification import judge, read_golden

        entry = bundle.variant(variant)
        bundle.path(entry.file)
        golden = read_golden(bundle)[variant]
        manifest = bundle.manifest
        head = Head(kind=manifest.head, count=manifest.scores, threshold=manifest.threshold)
        emulated = machine.ready(say)
        pixels = classes = None
        if "images" in plan.options:
            pixels, classes = images.read(Path(plan.options["images"]), bundle.manifest)
        with ThreadPoolExecutor(len(PROCESSORS)) as pool:
            infer_on = partial(infer, emulated, bundle=bundle, variant=variant, images=pixels)
            inferences = dict(zip((p.name for p in PROCESSORS), pool.map(infer_on, PROCESSORS), strict=True))
        counts: dict[str, list[float]] = {}
        notes = []
        for processor, (name, inference) in zip(PROCESSORS, inferences.items(), strict=True):
            if inference.instructions:
                counts[f"{name}_instructions"] = [float(count) for count in inference.instructions]
            verdict = judge(entry, inference.kernels, inference.golden, golden, head)
            counts[f"{name}_golden_max_abs_error"] = [verdict.max_abs_error]
            if verdict.reason:
                notes.append(
                    f"{variant} does not give what was recorded on {processor.title}: {verdict.reason}"
                )
            if inference.outside is not None:
                counts[f"{name}_ops_outside_xnnpack"] = [float(len(inference.outside))]
            if inference.kernels == "builtin":
                notes.append(f"{variant} ran without XNNPACK, on plain kernels, on {processor.title}")
        if not emulated.about["counts"]:
            notes.append(
                f"QEMU {emulated.about['qemu']} takes no plugins, so no instructions were counted; "
                "Debian 12's does"
            )
        if pixels is not None:
            host = _on_this_machine(bundle, entry, pixels)
            for name, inference in inferences.items():
                best = head.decisions(inference.images)
                counts[f"{name}_accuracy"] = [float(np.mean(best == classes))]
                counts[f"{name}_same_class_as_host"] = [float(np.mean(best == head.decisions(host)))]
        return Measurement(
            variant=variant,
            target="arm64",
            threads=1,
            kernels=_kernels(inferences),
            environment=_environment(emulated, 0 if pixels is None else len(pixels)),
            counts=counts,
            notes=notes,
        )


def _environment(emulated: machine.Machine, tested: int) -> dict[str, Any]:
    """That of this machine, but for what the emulated one has of its own. Load changes no count."""
    titles = " and ".join(processor.title for processor in PROCESSORS)
    surroundings = environment.describe()
    return {
        **surroundings,
        "cpu": f"{titles}, emulated by QEMU {emulated.about['qemu']}",
        "host_cpu": surroundings["cpu"],
        "machine": "aarch64",
        "isa": {processor.name: processor.features.split() for processor in PROCESSORS},
        "load_1min": None,
        "emulation": dict(emulated.about),
        "test_images": tested,
    }


def _on_this_machine(bundle: Bundle, entry: VariantEntry, pixels: Pixels) -> Scores:
    import numpy as np

    from edgewright.runtime.foreign import told_of
    from edgewright.runtime.predictor import load

    with load(bundle.folder / entry.file.file, **told_of(bundle.manifest)) as predictor:
        return np.concatenate([predictor.scores(image[np.newaxis]) for image in pixels])


def _kernels(inferences: dict[str, Inference]) -> str:
    """What computed; by processor where they differ."""
    kernels = {inference.kernels for inference in inferences.values()}
    return (
        kernels.pop() if len(kernels) == 1 else ", ".join(f"{n} {i.kernels}" for n, i in inferences.items())
    )


TARGET = Arm64()
