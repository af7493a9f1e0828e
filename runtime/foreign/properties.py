"""What exporters write into the key-value entries of an .onnx file.

Ultralytics: `task`, `names` (a Python dict as text), `imgsz`. ONNX itself: `Image.NominalPixelRange` and
`Image.BitmapPixelFormat` (https://github.com/onnx/onnx/blob/main/docs/MetadataProps.md). Others: `labels`,
`classes`, `class_names` or `id2label`, as JSON, as Python, or with a label a line or between commas.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from edgewright.runtime.backends import ModelFile
from edgewright.runtime.foreign.hints import MAX_TEXT_BYTES, Hints, Said, as_labels, lines, sizes
from edgewright.runtime.foreign.scaling import Scaling
from edgewright.runtime.foreign.standard import KEY as _TFLITE

_LABELS = ("names", "labels", "classes", "class_names", "id2label")
_RANGES = {"NominalRange_0_255": (0, 255), "Normalized_0_1": (0, 1), "Normalized_1_1": (-1, 1)}


def read(file: ModelFile) -> Hints:
    """What the entries say; nothing where there are none that are known."""
    told = {key: raw for key, raw in file.metadata.items() if key != _TFLITE and len(raw) <= MAX_TEXT_BYTES}
    remarks = [
        f"'{key}' in its metadata is too long to be used: {len(raw):,} bytes"
        for key, raw in file.metadata.items()
        if key in _LABELS and len(raw) > MAX_TEXT_BYTES
    ]
    labels = None
    for key in _LABELS:
        if key in told and labels is None:
            found = as_labels(_parsed(told[key]))
            if found is None:
                remarks.append(f"'{key}' in its metadata holds no labels that can be used")
            else:
                labels = Said(value=found, source=f"'{key}' in its metadata")
    size = sizes(_parsed(told["imgsz"])) if "imgsz" in told else None
    return Hints(
        labels=labels,
        size=Said(value=size, source="'imgsz' in its metadata") if size else None,
        remarks=tuple(remarks),
    ).or_else(_pixels(told).or_else(_ultralytics(told)))


def _pixels(told: Mapping[str, bytes]) -> Hints:
    """ONNX's own properties of images."""
    scaling = bgr = None
    if range_ := _RANGES.get(_text(told, "Image.NominalPixelRange")):
        source = "'Image.NominalPixelRange' in its metadata"
        scaling = Said(value=Scaling(input_range=range_), source=source)
    if _text(told, "Image.BitmapPixelFormat").startswith("Bgr"):
        bgr = Said(value=True, source="'Image.BitmapPixelFormat' in its metadata")
    return Hints(scaling=scaling, bgr=bgr)


def _ultralytics(told: Mapping[str, bytes]) -> Hints:
    """Its classifiers want 0..1 of the middle of a picture.

    `classify_transforms` of https://github.com/ultralytics/ultralytics (ultralytics/data/augment.py).
    """
    if (_text(told, "author"), _text(told, "task")) != ("Ultralytics", "classify"):
        return Hints()
    source = "Ultralytics' metadata"
    return Hints(
        scaling=Said(value=Scaling(input_range=(0, 1)), source=source),
        fit=Said(value="crop", source=source),
    )


def _text(told: Mapping[str, bytes], key: str) -> str:
    return told.get(key, b"").decode("utf-8", "replace")


def _parsed(raw: bytes) -> Any:
    """JSON or a Python literal; else the lines of a text, or what is between its commas."""
    text = raw.decode("utf-8", "replace").strip()
    if text[:1] in "[({" or text.isdecimal():
        for parse in (json.loads, ast.literal_eval):
            try:
                return parse(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
        return None
    found = lines(text)
    return found if len(found) > 1 else [part.strip() for part in text.split(",")]
