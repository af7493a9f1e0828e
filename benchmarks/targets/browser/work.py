"""What the page is given to do: files, golden images as each takes them, the recorded scores, the plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.benchmarks.record.measurement import Plan
from edgewright.runtime.bundle.manifest import Bundle, VariantEntry
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_MS = 20.0  # of runs that are timed at once: longer than a phone takes to change its clock for them
MOST_SAMPLES = 20_000  # of a stage of a process
_TYPES = ("uint8", "float32")


@dataclass(frozen=True, kw_only=True)
class Work:
    """`files` are what the page fetches, by name: its `job.json`, models, golden images and scores.

    `expected` are the recorded scores `(n, scores)` by variant; `plans` one for each number of threads.
    """

    bundle: Bundle
    variants: Sequence[VariantEntry]
    plans: Sequence[Plan]
    expected: dict[str, NDArray[np.float32]]
    files: dict[str, bytes | Path]


def check(entry: VariantEntry) -> None:
    """Raises `InputError` where the engines do not take such a file."""
    for what, spec in (("input", entry.input), ("output", entry.output)):
        # LiteRT.js has no int8 tensors, and neither engine is asked for several pictures at once
        if spec.dtype not in _TYPES or spec.shape[:1] not in ((1,), (-1,), (0,)) or _open(spec, entry):
            raise InputError(
                f"expected an {what} of uint8 or float32 and one picture at a time for target browser, got "
                f"{spec.dtype} {list(spec.shape)} in {entry.file.file}; export it without --io and --batch"
            )


def _open(spec: TensorSpec, entry: VariantEntry) -> bool:
    """Whether a .tflite leaves a size open, which LiteRT.js does not take."""
    return Path(entry.file.file).suffix == ".tflite" and any(size < 1 for size in spec.shape)


def prepare(bundle: Bundle, variants: Sequence[str], plans: Sequence[Plan], **also: Any) -> Work:
    """Read what the page needs; `also` is what else it is told. Raises `BundleError`, `ModelFileError`."""
    from edgewright.benchmarks.agreement import judging
    from edgewright.benchmarks.targets import _golden
    from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

    golden = read_golden(bundle)
    entries = [bundle.variant(name) for name in variants]
    files: dict[str, bytes | Path] = {}
    given: dict[bytes, str] = {}  # names of golden images by what they hold: most files take the same
    told = []
    for place, entry in enumerate(entries):
        files[f"model-{place}"] = bundle.path(entry.file)
        images = _images(bundle, entry, golden[GOLDEN_INPUTS])
        name = given.setdefault(images.tobytes(), f"images-{len(given)}")
        files.setdefault(name, images.tobytes())
        files[f"scores-{place}"] = golden[entry.name].astype("<f4").tobytes()
        told.append(
            {
                "name": entry.name,
                "format": Path(entry.file.file).suffix.lstrip("."),
                "model": f"model-{place}",
                "sha256": entry.file.sha256,
                "bytes": entry.file.bytes,
                "images": name,
                "scores": f"scores-{place}",
                "input": {"dtype": entry.input.dtype, "shape": [1, *images.shape[1:]]},
                "output": {"scale": entry.output.scale, "zero_point": entry.output.zero_point},
                "limits": {
                    "wasm": {
                        "right": _golden.right_within(entry),
                        "tolerated": entry.tolerance.max_abs_elsewhere,
                    },
                    "webgpu": {
                        "right": judging.limit(rounded=entry.arithmetic == "int8"),
                        "tolerated": judging.WRONG,
                    },
                },
            }
        )
    job: dict[str, Any] = {
        "bundle": bundle.manifest.name,
        "images": len(golden[GOLDEN_INPUTS]),
        "classes": bundle.manifest.scores,
        "block_ms": BLOCK_MS,
        "most_samples": MOST_SAMPLES,
        "variants": told,
        "plans": [{**dataclasses.asdict(plan), "options": {}} for plan in plans],
        **also,
    }
    files["job.json"] = jsonio.dump(job, indent=None)
    return Work(
        bundle=bundle,
        variants=entries,
        plans=plans,
        expected={entry.name: golden[entry.name] for entry in entries},
        files=files,
    )


def _images(bundle: Bundle, entry: VariantEntry, images: NDArray[np.uint8]) -> NDArray[Any]:
    """The golden images `(n, …)` as the file itself takes them."""
    from edgewright.runtime.foreign import bare, told_of
    from edgewright.runtime.predictor import load

    with load(bundle.folder / entry.file.file, **told_of(bundle.manifest)) as predictor:
        session, given = bare(predictor.session, images)
        return given.astype(session.input.dtype, copy=False)
