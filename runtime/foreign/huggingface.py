"""What lies beside a file that was exported from Hugging Face's transformers: two JSON files.

`config.json` has the labels (`id2label`) and the kind of problem; `preprocessor_config.json` what is done
to pictures (https://huggingface.co/docs/transformers/main_classes/image_processor). They lie in the file's
folder, or above it if that is named `onnx`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edgewright.runtime.backends import ModelFile
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import ModelFileError
from edgewright.runtime.foreign.hints import Hints, Said, as_labels, sizes
from edgewright.runtime.foreign.scaling import Scaling

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
_MAX_BYTES = 2**22
_RESAMPLES = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}  # Pillow's numbers


def read(file: ModelFile) -> Hints:
    """What the two files say; nothing where they are not there, or are of something else."""
    folder = _folder(file.path)
    remarks: list[str] = []
    config, processor = (_read(folder / name, remarks) for name in (CONFIG, PROCESSOR))
    if "id2label" not in config and "image_mean" not in processor:
        return Hints(remarks=tuple(remarks))
    return _config(config).or_else(_processor(processor)).or_else(Hints(remarks=tuple(remarks)))


def beside(path: Path) -> list[Path]:
    """The files that would be read for a model file."""
    return [found for name in (CONFIG, PROCESSOR) if (found := _folder(path) / name).is_file()]


def _folder(path: Path) -> Path:
    folder = path.absolute().parent
    return folder.parent if folder.name == "onnx" and not (folder / CONFIG).is_file() else folder


def _read(path: Path, remarks: list[str]) -> dict[str, Any]:
    try:
        if not path.is_file():
            return {}
        if path.stat().st_size > _MAX_BYTES:
            raise ModelFileError(f"it is {path.stat().st_size:,} bytes long")
        return jsonio.read(path, ModelFileError).data
    except (ModelFileError, OSError) as failure:
        remarks.append(f"{path.name} beside it is not used: {failure}")
        return {}


def _config(config: dict[str, Any]) -> Hints:
    labels = as_labels(config.get("id2label"))
    head = None
    if config.get("problem_type") == "multi_label_classification":
        head = Said(value="sigmoid-logits", source=f"'problem_type' in {CONFIG}")
    channels = config.get("num_channels")
    return Hints(
        labels=Said(value=labels, source=f"'id2label' in {CONFIG} beside it") if labels else None,
        head=head,
        channels=Said(value=channels, source=CONFIG) if channels in (1, 3) else None,
    )


def _processor(processor: dict[str, Any]) -> Hints:
    if not processor:
        return Hints()
    source = f"{PROCESSOR} beside it"
    scaling = _scaling(processor)
    cropped = sizes(_sides(processor.get("crop_size"))) if processor.get("do_center_crop") else None
    size = cropped or sizes(_sides(processor.get("size")))
    resample = _RESAMPLES.get(processor["resample"]) if type(processor.get("resample")) is int else None
    return Hints(
        scaling=Said(value=scaling, source=source) if scaling else None,
        size=Said(value=size, source=source) if size else None,
        channels=Said(value=3, source=source),
        channels_first=Said(value=True, source=source),
        fit=Said(value="crop", source=source) if cropped else None,
        resample=Said(value=resample, source=source) if resample else None,
    )


def _scaling(processor: dict[str, Any]) -> Scaling | None:
    """`(pixel * factor - mean) / std`, each of the two steps only if it is done."""
    factor = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1.0
    mean: Any = processor.get("image_mean")
    std: Any = processor.get("image_std")
    if not _is_number(factor) or factor <= 0:
        return None
    if not processor.get("do_normalize", True):
        return Scaling(input_range=(0, 255 * factor))
    if not (_are_numbers(mean) and _are_numbers(std)):
        return None
    return Scaling.of_255([value / factor for value in mean], [value / factor for value in std])


def _sides(found: object) -> object:
    """`{"height": …, "width": …}`, `{"shortest_edge": …}` or one number, as one number or two."""
    if isinstance(found, dict):
        return found.get("shortest_edge") or [found.get("height"), found.get("width")]
    return found


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < 2**53 if isinstance(value, int) else math.isfinite(value)


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and 0 < len(values) <= 4 and all(map(_is_number, values))
