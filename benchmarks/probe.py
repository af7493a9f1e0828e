"""The measuring process: loads one variant, times it stage by stage, writes raw samples.

    python -m edgewright.benchmarks.probe JOB      (JOB is JSON; see `targets/local.py`)

Images are the bundle's golden ones: real ones of the test set, taken in turn; to be decoded they are
enlarged.
"""

from __future__ import annotations

import io
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from edgewright.benchmarks import environment
from edgewright.benchmarks.measurement import Plan
from edgewright.runtime import console
from edgewright.runtime.errors import EdgewrightError, MissingExtraError
from edgewright.runtime.files import write_file


def main(job: dict[str, Any]) -> None:
    plan = Plan(**job["plan"])
    folder, variant = Path(job["bundle"]), job["variant"]
    surroundings = environment.describe()

    from edgewright.runtime import backends
    from edgewright.runtime.manifest import Bundle
    from edgewright.runtime.predictor import load
    from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

    images = read_golden(Bundle.open(folder))[GOLDEN_INPUTS]
    pixels = [image[None].copy() for image in images]
    encoded = {
        kind: [encode(image, kind, plan.picture_pixels) for image in images] for kind in ("jpeg", "png")
    }
    path = folder / Bundle.open(folder).variant(variant).file.file
    backend = backends.for_path(path)
    if not backend.available():
        raise MissingExtraError(f"an interpreter for {path.name}", backend.extra)
    samples = {"import": _time(import_module, iter([backend.module]))}
    base_rss = _peak_rss_bytes()
    start = time.perf_counter_ns()
    predictor = load(path, threads=plan.threads)
    samples["load"] = [time.perf_counter_ns() - start]
    run = predictor.session.run
    samples["first_run"] = _time(run, iter(pixels[:1]))
    samples["warm_up"] = _time(run, _until(pixels, 1, plan.warmup_seconds, plan.most_runs))
    samples["warm_run"] = _time(run, _until(pixels, plan.runs, plan.seconds, plan.most_runs))
    for kind, pictures in encoded.items():
        wanted = _until(pictures, plan.end_to_end_runs, 0, plan.most_runs)
        samples[f"{kind}_to_label"] = _time(lambda picture: predictor.predict(picture, k=1), wanted)
    result = {
        "variant": variant,
        "threads": plan.threads,
        "kernels": predictor.session.kernels,
        "samples_ns": samples,
        "peak_rss_bytes": _peak_rss_bytes(),
        "base_rss_bytes": base_rss,
        "environment": surroundings,
    }
    write_file(Path(job["out"]), json.dumps(result).encode())


def _time(work: Callable[[Any], object], inputs: Iterator[Any]) -> list[int]:
    """Nanoseconds of each call of `work`; asking for the next input is outside the clock."""
    clock, taken = time.perf_counter_ns, []
    for given in inputs:
        start = clock()
        work(given)
        taken.append(clock() - start)
    return taken


def _until(items: list[Any], least: int, seconds: float, most: int) -> Iterator[Any]:
    """The items in turn until there were `least` and `seconds` have passed, at most `most`."""
    end = time.perf_counter() + seconds
    for count, item in enumerate(itertools.cycle(items)):
        if count >= most or (count >= least and time.perf_counter() >= end):
            return
        yield item


def encode(image: Any, kind: str, longer_side: int) -> bytes:
    """A picture as it comes from a camera or a web page: larger than the model's input."""
    from PIL import Image

    memory = io.BytesIO()
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    factor = longer_side / max(picture.size)
    picture = picture.resize((round(picture.width * factor), round(picture.height * factor)))
    picture.save(memory, kind, **({"quality": 90} if kind == "jpeg" else {}))
    return memory.getvalue()


def _peak_rss_bytes() -> int:
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


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except EdgewrightError as failure:
        console.complain(str(failure))
        sys.exit(1)
