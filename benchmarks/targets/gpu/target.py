"""Whether a phone's GPU would give a variant's scores: LiteRT's accelerator against its CPU kernels."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.targets import IMAGES, Say, Target
from edgewright.benchmarks.targets.gpu.engine import ENGINE, Gpu
from edgewright.runtime.bundle.manifest import Bundle, VariantEntry
from edgewright.runtime.errors import InputError

if TYPE_CHECKING:
    from edgewright.benchmarks.agreement.judging import Judged
    from edgewright.benchmarks.record.measurement import Check
    from edgewright.benchmarks.targets.gpu.engine import OnGpu
    from edgewright.runtime.backends import Pixels
    from edgewright.runtime.verification import Verification

# Operators that exports of today write otherwise, and in which variant, by the scheme of the one at hand.
_PATTERNS = ("CONV_2D", "ADD")
_WRITTEN_FOR_GPUS = {
    "int8": "it again",
    "int8-mixed": "it again",
    "dynamic-int8": "tflite-dynamic-int8-gpu",
}
_MOST_BYTES = 2**26  # of images that are made up
_WARM_UP = 3  # runs that are not timed: shaders are compiled at the first


class GpuTarget(Target):
    """`check` says how far the accelerator's scores are from the CPU's, on the golden images and others.

    On a real GPU also `warm_run`: from the inputs' bytes to the outputs', in nanoseconds.
    """

    title = "right answers of LiteRT's GPU accelerator"
    summary = (
        "LiteRT's GPU accelerator (WebGPU on Vulkan, in 32-bit floats) against its CPU kernels, on a real "
        "GPU with times, else in software without; not covered: arithmetic in 16-bit floats, and OpenCL, "
        "which phones may take, and their drivers"
    )
    repeats = False
    options = (IMAGES,)

    def missing(self) -> str:
        return ENGINE.missing()

    def check(self, bundle: Bundle, variant: str, plan: Plan) -> None:
        entry = bundle.variant(variant)
        if plan.threads != 1:
            raise InputError(f"expected 1 thread for target gpu, got {plan.threads}: a GPU has none to set")
        if not entry.file.file.endswith(".tflite"):
            raise InputError(
                f"expected a .tflite for target gpu, got {entry.file.file}; LiteRT runs no other files"
            )
        if entry.input.shape[0] > 1:
            raise InputError(
                f"expected a file of one image at a time for target gpu, got {entry.file.file}, which takes "
                f"{entry.input.shape[0]}; export it without --batch"
            )
        if "images" in plan.options:
            from edgewright.benchmarks.measure import images

            images.read(Path(plan.options["images"]), bundle.manifest)

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        from edgewright.benchmarks.measure import environment, images
        from edgewright.benchmarks.targets.gpu import vulkan
        from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

        entry = bundle.variant(variant)
        golden = read_golden(bundle)[GOLDEN_INPUTS]
        if "images" in plan.options:
            more, _ = images.read(Path(plan.options["images"]), bundle.manifest)
        else:
            more = images.varied(golden, min(images.MOST, _MOST_BYTES // golden[0].nbytes))
        vulkan.ready(say)
        taken: list[int] = []
        first: list[tuple[str, bool, bool]] = []

        def ran(running: OnGpu) -> None:
            taken.append(running.nanoseconds)
            if not first:
                first.append((running.device, running.on_gpu, running.whole))

        judged = _judged(bundle, entry, golden, more, ran=ran)
        check = judged.check
        device, on_gpu, whole = next(iter(first), ("no GPU", False, True))
        notes = [f"{variant} in LiteRT's GPU accelerator: {judged.complaint}"] if judged.complaint else []
        if not whole:
            notes.append(f"{variant} stays on the CPU in part: the accelerator does not take all operators")
        if taken and not on_gpu and vulkan.ready().folder is None:
            path = bundle.folder / entry.file.file
            notes.append(f"{variant} ran in software, as nobody vouched for it: edgewright trust {path}")
        surroundings = environment.describe()
        version = metadata.version("ai-edge-litert")
        timed = on_gpu and len(taken) > _WARM_UP
        return Measurement(
            variant=variant,
            target="gpu",
            threads=1,
            kernels=device,
            environment={
                **surroundings,
                "cpu": f"{device}, by LiteRT {version}'s GPU accelerator",
                "host_cpu": surroundings["cpu"],
                "machine": "gpu",
                "isa": [],
                "load_1min": surroundings["load_1min"] if on_gpu else None,
                "on_gpu": on_gpu,
                "images": "given" if "images" in plan.options else "golden and varied ones",
            },
            samples_ns={"first_run": taken[:1], "warm_run": taken[_WARM_UP:]} if timed else {},
            notes=notes,
            queries=len(taken) - _WARM_UP if timed else 0,
            check=_with_remedy(check, bundle, entry),
        )


def verify(folder: Path) -> list[Verification]:
    """What `edgewright verify --target gpu` adds: the golden images of each .tflite of a bundle, in the
    accelerator and on the CPU.

    Raises:
        BundleError: no bundle, or a damaged one.
        TargetError: the target cannot be set up here.
    """
    from edgewright.benchmarks.agreement import judging
    from edgewright.runtime.verification import GOLDEN_INPUTS, Verification, read_golden

    bundle = Bundle.open(folder)
    golden = read_golden(bundle)[GOLDEN_INPUTS]
    found = []
    devices: dict[str, bool] = {}
    for entry in bundle.manifest.variants:
        try:
            TARGET.check(bundle, entry.name, Plan())
        except InputError:
            continue
        judged = _judged(
            bundle,
            entry,
            golden,
            golden[:0],
            ran=lambda running: devices.setdefault(running.device, running.on_gpu),
            find=False,
        )
        check = judged.check
        wrong = check.verdict == "wrong"
        reason = judged.complaint or (
            f"same label on {check.agreement:.0%}" if check.verdict != "right" else ""
        )
        found.append(
            Verification(
                variant=entry.name,
                status="failed" if wrong else "ok",
                kernels=next(iter(devices), "no GPU"),
                max_abs_error=check.max_abs_error,
                limit=judging.limit(rounded=entry.arithmetic == "int8"),
                reason=reason,
            )
        )
    return found


def _judged(
    bundle: Bundle,
    entry: VariantEntry,
    golden: Pixels,
    more: Pixels,
    *,
    ran: Callable[[OnGpu], object],
    find: bool = True,
) -> Judged:
    from edgewright.benchmarks.agreement import judging
    from edgewright.runtime import backends, trust
    from edgewright.runtime.foreign import bare, told_of
    from edgewright.runtime.predictor import load

    path, raw = bundle.read(entry.file)
    with load(path, **told_of(bundle.manifest)) as predictor:
        session, given = bare(predictor.session, golden)
        others = bare(predictor.session, more)[1] if len(more) else given[:0]
        subject = judging.Subject(
            raw=raw,
            output=session.output,
            head=predictor.head,
            session=session,
            rounded=entry.arithmetic == "int8",
        )
        engine = Gpu(vouched=trust.opens_here(entry.file.sha256, backends.for_path(path)))
        return judging.judge(subject, engine, given, others, find=find, ran=ran)


def _with_remedy(check: Check, bundle: Bundle, entry: VariantEntry) -> Check:
    """What to do about a file that is wrong, beside what is known of it."""
    import dataclasses

    if check.verdict != "wrong":
        return check
    return dataclasses.replace(check, remedy=remedy(check.first_wrong_op, bundle, entry))


def remedy(operator: str, bundle: Bundle, entry: VariantEntry) -> str:
    """What to do about a variant that is wrong, by the operator at fault, empty if none is known."""
    chosen: Any = entry.conversion.get("chosen")
    done = isinstance(chosen, dict) and "gpu" in chosen
    if operator in _PATTERNS and entry.scheme in _WRITTEN_FOR_GPUS and not done:
        return f"export {_WRITTEN_FOR_GPUS[entry.scheme]}: this is written otherwise there"
    floats = next(
        (v.name for v in bundle.manifest.variants if v.format == "tflite" and v.scheme == "float32"), ""
    )
    other = f"take {floats} there" if floats and floats != entry.name else "take another variant there"
    return f"run it on the CPU, or {other}"


TARGET = GpuTarget()
