"""The measuring process: loads one variant, times it stage by stage, gives raw samples.

    python -m edgewright.benchmarks.measure.probe JOB      (JOB is JSON; see `targets/local.py`)

Images are the bundle's golden ones: real ones of the test set, taken in turn; to be decoded they are
enlarged.
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.benchmarks.measure import environment, sampling
from edgewright.benchmarks.record.measurement import Plan
from edgewright.runtime.errors import EdgewrightError, MissingExtraError
from edgewright.runtime.machine.child import send, standard_pipes

if TYPE_CHECKING:
    from edgewright.runtime.predictor import Predictor


def main(job: dict[str, Any], seal: Callable[[int], None] = lambda size: None) -> dict[str, Any]:
    """A `Measurement` as JSON takes it, but for the target.

    Args:
        seal: called with the size of the file before it is opened.
    """
    plan = Plan(**job["plan"])
    folder, variant = Path(job["bundle"]), job["variant"]
    surroundings = environment.describe()

    from edgewright.runtime import backends
    from edgewright.runtime.bundle.manifest import Bundle
    from edgewright.runtime.foreign import LONE, bare, told_of
    from edgewright.runtime.machine.threads import cores
    from edgewright.runtime.predictor import load
    from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

    bundle = Bundle.open(folder)
    given = told_of(bundle.manifest)
    notes = bundle.manifest.provenance.get(LONE, {}).get("notes", ())
    images = read_golden(bundle)[GOLDEN_INPUTS]
    pixels = [image[None].copy() for image in images]
    kinds = ("jpeg", "png")
    encoded = {kind: [encode(image, kind, plan.picture_pixels) for image in images] for kind in kinds}
    path = folder / bundle.variant(variant).file.file
    backend = backends.for_path(path)
    if not backend.available():
        raise MissingExtraError(f"an interpreter for {path.name}", backend.extra)
    samples = {"import": sampling.time_each(import_module, iter([backend.module]))}
    base_rss = peak_rss_bytes()
    seal(path.stat().st_size)
    start = time.perf_counter_ns()
    predictor = load(path, threads=plan.threads, **given)
    samples["load"] = [time.perf_counter_ns() - start]
    session, label = predictor.session, _labelling(predictor)
    run, pixels = bare(session, pixels[0])[0].run, [bare(session, one)[1] for one in pixels]
    samples["first_run"] = sampling.time_each(run, iter(pixels[:1]))
    for pictures in encoded.values():
        label(pictures[0])
    peak_rss = peak_rss_bytes()  # before the samples take memory

    step = sampling.clock_step_ns()
    warm = sampling.warm_up(run, pixels, plan.warmup_seconds)
    samples["warm_up"] = warm.samples_ns
    latest = sorted(warm.samples_ns[len(warm.samples_ns) // 2 :])
    before = sampling.Counters.read()
    runs = sampling.warm_runs(
        run,
        pixels,
        least=plan.runs,
        seconds=plan.seconds,
        most=plan.most_runs,
        run_ns=latest[len(latest) // 2],
        step_ns=step,
    )
    disturbed = before.until(sampling.Counters.read())
    samples["warm_run"] = runs.samples_ns
    for kind, pictures in encoded.items():
        samples[f"{kind}_to_label"] = sampling.time_each(label, _pictures(pictures, plan))
    samples |= _parts(predictor, itertools.islice(_pictures(encoded["jpeg"], plan), len(images)))
    loaded = [load(path, threads=plan.threads, **given) for _ in range(cores() // plan.threads)]
    rate = _throughput(loaded, pixels, plan)
    return {
        "variant": variant,
        "threads": plan.threads,
        "kernels": predictor.session.kernels,
        "samples_ns": samples,
        "peak_rss_bytes": peak_rss,
        "base_rss_bytes": base_rss,
        "environment": surroundings,
        "counts": {"inferences_per_second": rate} if rate else {},
        "notes": [
            note
            for note in (
                *notes,
                warm.note(),
                *disturbed,
                *_few(runs, step),
            )
            if note
        ],
        "calls_per_sample": runs.calls,
        "queries": runs.queries,
    }


def _labelling(predictor: Predictor) -> Callable[[bytes], object]:
    """From the bytes of a picture to its label; to its vector where that is what a model gives."""
    if not predictor.head.is_embedding:
        return functools.partial(predictor.predict, k=1)
    from edgewright.runtime.preprocess import to_pixels

    return lambda picture: predictor.scores(to_pixels(picture, predictor.contract.input))


def _few(runs: sampling.Runs, step_ns: int) -> list[str]:
    """What is to be said of the number of samples and of the clock."""
    notes, count = [], len(runs.samples_ns)
    if runs.calls > 1:
        notes.append(
            f"the clock is coarse for so short a run: its step is {step_ns} ns, so a sample is the mean of "
            f"{runs.calls} runs, and p90 and p99 are those of such means"
        )
    if count < 100:
        notes.append(f"too few runs for p99, add --seconds: {count} in a process")
    return notes


def _pictures(pictures: Sequence[bytes], plan: Plan) -> Any:
    """The pictures in turn, for as long as the plan says."""
    least = min(len(pictures), plan.end_to_end_runs)
    return sampling.until(pictures, least, plan.end_to_end_seconds, plan.end_to_end_runs)


def _parts(predictor: Predictor, pictures: Any) -> dict[str, list[int]]:
    """How long each part of the way from JPEG to label takes, picture by picture."""
    from edgewright.runtime import preprocess

    contract, clock = predictor.contract.input, time.perf_counter_ns
    found: dict[str, list[int]] = {part: [] for part in ("decode", "preprocess", "invoke", "postprocess")}
    for picture in pictures:
        times = [clock()]
        decoded = preprocess.decode(picture, contract)
        times.append(clock())
        pixels = preprocess.fitted(decoded, contract)
        times.append(clock())
        scores = predictor.scores(pixels)
        times.append(clock())
        if not predictor.head.is_embedding:
            predictor.top(scores[0], 1)
        times.append(clock())
        for part, (start, end) in zip(found, itertools.pairwise(times), strict=True):
            found[part].append(end - start)
    return found


def _throughput(predictors: Sequence[Predictor], pixels: Sequence[Any], plan: Plan) -> list[float]:
    """Inferences a second with an interpreter for each core, each in a thread; [] if not asked for."""
    from edgewright.runtime.foreign import inner

    if not predictors or not plan.throughput_seconds:
        return []
    ready = threading.Barrier(len(predictors))

    def work(predictor: Predictor) -> int:
        run = inner(predictor.session).run
        ready.wait()
        end = time.perf_counter() + plan.throughput_seconds
        count = 0
        for item in itertools.cycle(pixels):
            run(item)
            count += 1
            if time.perf_counter() >= end:
                break
        return count

    start = time.perf_counter()
    with ThreadPoolExecutor(len(predictors)) as pool:
        total = sum(pool.map(work, predictors))
        return [total / (time.perf_counter() - start)]


def encode(image: Any, kind: str, longer_side: int) -> bytes:
    """A picture as it comes from a camera or a web page: larger than the model's input."""
    from PIL import Image

    memory = io.BytesIO()
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    factor = longer_side / max(picture.size)
    picture = picture.resize((round(picture.width * factor), round(picture.height * factor)))
    picture.save(memory, kind, **({"quality": 90} if kind == "jpeg" else {}))
    return memory.getvalue()


def peak_rss_bytes() -> int:
    """High-water mark of this process's resident memory.

    Linux's ru_maxrss is inherited from the process that started this one; VmHWM is not.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        import psutil

        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))


def apart(word: str) -> None:
    """The same in a process that gives up what it does not need before it opens the file."""
    from edgewright.runtime.machine.threads import cores
    from edgewright.runtime.trust import sandbox
    from edgewright.runtime.trust.isolation import memory_bytes

    job = json.loads(word)
    copies = 1 + cores() // job["plan"]["threads"]
    _answer(job, lambda size: sandbox.seal(copies * memory_bytes(size, job["plan"]["threads"])))


def _answer(job: dict[str, Any], seal: Callable[[int], None] = lambda size: None) -> None:
    _, answers = standard_pipes()
    try:
        send(answers, main(job, seal))
    except EdgewrightError as failure:
        sys.exit(" ".join(str(failure).split()))


if __name__ == "__main__":
    _answer(json.loads(sys.argv[1]))
