"""The standard metadata of TFLite files: labels, normalization, thresholds, as TFLite's tools write them.

A FlatBuffer of the TFLite metadata schema in the entry `TFLITE_METADATA`; files that it names are zipped
behind the model. Numbers are the fields' slots in
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/schema (metadata_schema.fbs).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

from edgewright.runtime.backends import DamagedError, ModelFile
from edgewright.runtime.backends.litert.flatbuffer import Table
from edgewright.runtime.disk import zips
from edgewright.runtime.foreign.hints import MAX_TEXT_BYTES, Hints, Said, as_labels, lines, sizes
from edgewright.runtime.foreign.scaling import Scaling

KEY = "TFLITE_METADATA"
SOURCE = "its TFLite metadata"
_IMAGE = 2  # ContentProperties
_NORMALIZATION, _CALIBRATION, _THRESHOLDING = 1, 2, 3  # ProcessUnitOptions
_UNKNOWN, _AXIS_LABELS = 0, 2  # AssociatedFileType
_GREY, _RGB = 2, 1  # ColorSpaceType


def read(file: ModelFile) -> Hints:
    """What the record says of the first input and output; nothing if there is none, or a broken one."""
    raw = file.metadata.get(KEY)
    if raw is None:
        return Hints()
    try:
        graphs = Table.root(raw).tables(3)
        if not graphs:
            return Hints()
        inputs, outputs = graphs[0].tables(2), graphs[0].tables(3)
        given = _input(inputs[0]) if inputs else Hints()
        return given.or_else(_output(outputs[0], file.raw) if outputs else Hints())
    except (DamagedError, struct.error, ValueError, RecursionError) as failure:
        return Hints(remarks=(f"{SOURCE} is damaged and not used: {failure}",))


def _input(tensor: Table) -> Hints:
    scaling = size = channels = None
    for kind, options in _units(tensor):
        if kind == _NORMALIZATION and scaling is None:
            mean, std = options.floats(0), options.floats(1)
            scaling = Said(value=Scaling.of_255(mean, std), source=SOURCE) if mean and std else None
    content = tensor.table(3)
    image = content.table(1) if content and content.scalar(0, "<b") == _IMAGE else None
    if image is not None:
        side = image.table(1)
        pair = sizes([side.scalar(1, "<I"), side.scalar(0, "<I")]) if side else None
        size = Said(value=pair, source=SOURCE) if pair else None
        colour = {_GREY: 1, _RGB: 3}.get(image.scalar(0, "<b"))
        channels = Said(value=colour, source=SOURCE) if colour else None
    return Hints(scaling=scaling, size=size, channels=channels)


def _output(tensor: Table, raw: bytes) -> Hints:
    remarks = []
    threshold = None
    for kind, options in _units(tensor):
        if kind == _THRESHOLDING:
            share = options.real(0)
            if 0 < share < 1:
                threshold = Said(value=round(share, 7), source=SOURCE)
        elif kind == _CALIBRATION:
            remarks.append(f"{SOURCE} holds a calibration of scores, which is not applied")
    labels, said = _labels(_associated(tensor), raw)
    return Hints(labels=labels, threshold=threshold, remarks=(*remarks, *said))


def _units(tensor: Table) -> list[tuple[int, Table]]:
    """Kind and options of each process unit."""
    found = ((unit.scalar(0, "<b"), unit.table(1)) for unit in tensor.tables(4)[:100])
    return [(kind, options) for kind, options in found if options is not None]


def _associated(tensor: Table) -> str:
    """The name of the file of labels; that of no locale first. Empty if there is none."""
    found = [(f.scalar(2, "<b"), f.text(3), f.text(0)) for f in tensor.tables(6)[:100]]
    named = [(locale, name) for kind, locale, name in found if kind == _AXIS_LABELS]
    named = named or [
        (locale, name) for kind, locale, name in found if kind == _UNKNOWN and "label" in name.lower()
    ]
    return min(named, default=("", ""))[1]


def _labels(name: str, raw: bytes) -> tuple[Said[tuple[str, ...]] | None, Sequence[str]]:
    """What is in the file of that name behind the model, and a remark if it cannot be used."""
    if not name:
        return None, ()
    where = f"{name} in {SOURCE}"
    try:
        with zips.archive(io.BytesIO(raw)) as archive:
            text = zips.member(archive, name, MAX_TEXT_BYTES)
        found = as_labels(lines(text.decode("utf-8-sig")))
    except Exception as failure:  # zipfile and zlib raise much
        return None, (f"{where} cannot be read and is not used: {failure}",)
    if found is None:
        return None, (f"{where} holds no labels that can be used",)
    return Said(value=found, source=where), ()
