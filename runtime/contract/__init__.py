"""What a model file promises: which pixels go in, which scores come out, what they are called.

The same contract stands in the bundle's manifest and, as JSON, inside every model file, so that a
lone file copied to a phone still knows its input size and its labels.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from edgewright.runtime.disk import digest
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import EdgewrightError, ModelFileError

CONTRACT_KEY = "edgewright"  # the name of the metadata entry in .tflite and .onnx files
SCHEMA_VERSION = 1
FITS = ("stretch", "crop", "letterbox")
RESAMPLES = ("nearest", "box", "bilinear", "bicubic", "lanczos")
HEADS = (
    "softmax",
    "logits",
    "sigmoid",
    "sigmoid-logits",
    "embedding",
)  # see edgewright.runtime.contract.heads
THRESHOLD = 0.5
PROVEN, NOT_PROVEN = "passed", "not proven"  # verdicts of the gate that a file can have
UNPROVEN = "it was written though it was not proven equal enough to its model"
ZERO_HASH = "0" * 64


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One input or output of a model file. `shape` counts the batch; `scale` 0 means not quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "shape": list(self.shape)}

    @staticmethod
    def from_json(obj: JsonObject) -> TensorSpec:
        return TensorSpec(
            name=obj.text("name"),
            shape=obj.integers("shape"),
            dtype=obj.text("dtype"),
            scale=obj.number("scale"),
            zero_point=obj.integer("zero_point", -(2**31), 2**31),
        )


@dataclass(frozen=True, kw_only=True)
class InputContract:
    """Which picture a model takes: uint8, NHWC, RGB (3 channels) or grey (1), 0-255.

    `fit` says what happens to a picture of another shape: `stretch` to the size, `crop` the middle,
    or `letterbox` with black. `resample` is Pillow's filter of that name.
    """

    height: int
    width: int
    channels: int
    fit: str = "stretch"
    resample: str = "bilinear"

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, self.channels)

    @staticmethod
    def from_json(obj: JsonObject) -> InputContract:
        contract = InputContract(
            height=obj.integer("height", 1, 2**14),
            width=obj.integer("width", 1, 2**14),
            channels=obj.integer("channels", 1, 3),
            fit=obj.choice("fit", FITS),
            resample=obj.choice("resample", RESAMPLES),
        )
        if contract.channels == 2:
            raise obj.fail("channels", "1 or 3")
        return contract


@dataclass(frozen=True, kw_only=True)
class ModelContract:
    """What a model file says of itself: `name` of the model, `variant`, input, labels, kind of score.

    `head` is one of `HEADS`; above `threshold` the probability of a sigmoid is a yes. One sigmoid score has
    two labels, that of a no first; an embedding has none. `verdict` is `PROVEN`, or `NOT_PROVEN` of a file
    that was written though it was not proven equal enough to its model.
    """

    name: str
    variant: str
    input: InputContract
    labels: tuple[str, ...]
    head: str = "softmax"
    threshold: float = THRESHOLD
    verdict: str = PROVEN

    @property
    def is_proven(self) -> bool:
        return self.verdict == PROVEN

    def to_json(self) -> dict[str, Any]:
        data = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self), "labels": list(self.labels)}
        if not self.head.startswith("sigmoid"):
            del data["threshold"]
        if self.is_proven:
            del data["verdict"]
        return data

    def to_bytes(self) -> bytes:
        """The contract as it is put inside a model file, with an unset `sha256` (see `stamp`)."""
        data = {**self.to_json(), "sha256": ZERO_HASH}
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8")

    @staticmethod
    def from_json(obj: JsonObject, error: type[EdgewrightError] = ModelFileError) -> ModelContract:
        check_schema(obj, error)
        head, threshold, labels = read_head(obj)
        return ModelContract(
            name=obj.text("name"),
            variant=obj.text("variant"),
            input=InputContract.from_json(obj.object("input")),
            labels=labels,
            head=head,
            threshold=threshold,
            verdict=obj.choice("verdict", (PROVEN, NOT_PROVEN)) if obj.has("verdict") else PROVEN,
        )


def read_head(obj: JsonObject) -> tuple[str, float, tuple[str, ...]]:
    """`head`, `threshold` and `labels`, as contract and manifest have them."""
    head, labels = obj.choice("head", HEADS), obj.texts("labels")
    if bool(labels) == (head == "embedding"):
        raise obj.fail("labels", "no labels" if labels else "a list of at least one label")
    threshold = obj.number("threshold") if obj.has("threshold") else THRESHOLD
    if not 0 < threshold < 1:
        raise obj.fail("threshold", "a share between 0 and 1")
    return head, threshold, labels


def check_schema(obj: JsonObject, error: type[EdgewrightError]) -> None:
    """Refuse a schema newer than this version reads; additions within a schema are ignored."""
    found = obj.integer("schema_version", 1)
    if found > SCHEMA_VERSION:
        raise error(
            f"expected schema_version {SCHEMA_VERSION} or older in {obj.where}, got {found}: "
            "it was written by a newer edgewright; run: pip install --upgrade edgewright"
        )


def stamp(raw: bytes) -> bytes:
    """Put a file's own SHA-256 into its contract: the hash of the file with that field all zeros.

    The hash shows corruption, it is no proof of trust.

    Raises:
        ValueError: `raw` does not hold exactly one unset hash field.
    """
    field = ZERO_HASH.encode()
    if raw.count(field) != 1:
        raise ValueError(f"expected one unset hash field, got {raw.count(field)}")
    return raw.replace(field, digest.sha256(raw).encode())


def stamp_is_right(raw: bytes, sha256: str) -> bool:
    """True if `raw` is the file that was stamped with `sha256`."""
    field = sha256.encode("ascii", "replace")
    if len(field) != 64 or raw.count(field) != 1:
        return False
    place, whole = raw.index(field), memoryview(raw)
    return digest.sha256(whole[:place], ZERO_HASH.encode(), whole[place + 64 :]) == sha256
