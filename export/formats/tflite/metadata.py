"""Puts metadata into a .tflite file: the standard record that phone tools read, and our contract.

The standard record is a FlatBuffer of the TFLite metadata schema
(https://github.com/google-ai-edge/LiteRT/blob/main/tflite/schema, "metadata_schema.fbs", identifier
M001) in the entry TFLITE_METADATA, with the labels as an associated file zipped behind the model.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.runtime.contract import CONTRACT_KEY, ModelContract
from edgewright.runtime.contract.heads import Head

STANDARD_KEY = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"

# Values of the schema's enums and unions.
_IMAGE, _FEATURE = 2, 1  # ContentProperties
_RGB, _GREY = 1, 2  # ColorSpaceType
_NORMALIZATION = 1  # ProcessUnitOptions
_AXIS_LABELS = 2  # AssociatedFileType


def embed(model: bytes, contract: ModelContract) -> bytes:
    """The model with both records; whatever records of these names it had are replaced.

    Deterministic. The file's contract is left unstamped, see `edgewright.runtime.contract.stamp`.
    """
    tree = tflite_tree.read(model)
    scale, zero_point = tflite_tree.quantization(tree, tree.subgraphs[0].inputs[0])
    # A reader normalizes, (pixel - mean) / std, then quantizes if the input is; raw pixels must come out.
    mean, std = (float(zero_point), 1 / scale) if scale else (0.0, 1.0)
    graph = tree.subgraphs[0]
    labels = _of_scores(contract, int(graph.tensors[graph.outputs[0]].shape[-1]))
    entries = {STANDARD_KEY: _standard(contract, labels, mean, std), CONTRACT_KEY: contract.to_bytes()}
    tflite_tree.set_metadata(tree, entries)
    zipped = _zipped(LABELS_FILE, "\n".join(labels) + "\n") if labels else b""
    return tflite_tree.write(tree) + zipped


def _of_scores(contract: ModelContract, scores: int) -> tuple[str, ...]:
    """A label a score, as the standard wants them: one score stands for the second of two labels."""
    head = Head(kind=contract.head, count=scores)
    return contract.labels[1:] if head.is_binary else contract.labels


def _standard(contract: ModelContract, labels: Sequence[str], mean: float, std: float) -> bytes:
    """The FlatBuffer of the standard schema. Numbers are the fields' slots in it."""
    import flatbuffers

    b = flatbuffers.Builder(1024)
    normalization = _table(b, 2, {0: _floats(b, [mean]), 1: _floats(b, [std])})
    process = _table(b, 2, {0: ("byte", _NORMALIZATION), 1: normalization})
    size = _table(b, 2, {0: ("uint", contract.input.width), 1: ("uint", contract.input.height)})
    image = _table(b, 2, {0: ("byte", _GREY if contract.input.channels == 1 else _RGB), 1: size})
    image_content = _table(b, 2, {0: ("byte", _IMAGE), 1: image})
    pixel_range = _table(b, 2, {0: _floats(b, [255.0]), 1: _floats(b, [0.0])})
    given = _table(b, 7, {0: _string(b, "image"), 3: image_content, 4: _tables(b, [process]), 5: pixel_range})
    file = {0: _string(b, LABELS_FILE), 1: _string(b, "class labels"), 2: ("byte", _AXIS_LABELS)}
    named = {6: _tables(b, [_table(b, 5, file)])} if labels else {}
    feature = _table(b, 2, {0: ("byte", _FEATURE), 1: _table(b, 0, {})})
    name = {"softmax": "probability", "sigmoid": "probability", "embedding": "embedding"}.get(
        contract.head, "score"
    )
    result = _table(b, 7, {0: _string(b, name), 3: feature, **named})
    graph = _table(b, 5, {2: _tables(b, [given]), 3: _tables(b, [result])})
    root = _table(
        b,
        8,
        {
            0: _string(b, contract.name),
            1: _string(b, _description(contract)),
            3: _tables(b, [graph]),
            7: _string(b, "1.0.0"),
        },
    )
    b.Finish(root, file_identifier=b"M001")
    return bytes(b.Output())


def _description(contract: ModelContract) -> str:
    kind = f"image classifier, {len(contract.labels)} classes" if contract.labels else "image embedding"
    return f"{kind}, {contract.variant}"


def _table(builder: Any, slots: int, fields: dict[int, Any]) -> int:
    """A table; a field is the offset of what it refers to, or a ("byte" | "uint", value) pair."""
    builder.StartObject(slots)
    for slot, value in fields.items():
        match value:
            case ("byte", number):
                builder.PrependInt8Slot(slot, number, 0)
            case ("uint", number):
                builder.PrependUint32Slot(slot, number, 0)
            case offset:
                builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    end: int = builder.EndObject()
    return end


def _tables(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    end: int = builder.EndVector()
    return end


def _floats(builder: Any, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    end: int = builder.EndVector()
    return end


def _string(builder: Any, text: str) -> int:
    offset: int = builder.CreateString(text)
    return offset


def _zipped(name: str, text: str) -> bytes:
    """A zip with one stored file and a fixed date; readers look for it from the end of the model."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(name), text)
    return memory.getvalue()
