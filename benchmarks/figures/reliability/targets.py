"""The readers that are attacked: bytes in, refused by an error of ours or accepted, nothing else."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgewright.runtime import backends
from edgewright.runtime.bundle.manifest import Manifest
from edgewright.runtime.contract import ZERO_HASH, InputContract, ModelContract, stamp
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import ModelFileError
from edgewright.runtime.preprocess import to_pixels

CORPUS = Path(__file__).parent / "corpus"
_SMALL = InputContract(height=8, width=8, channels=3, fit="letterbox")


@dataclass(frozen=True, kw_only=True)
class Target:
    """`read` raises an `EdgewrightError` for what it refuses; of what it accepted it says how that differs
    from what a reference reads (`edgewright.benchmarks.figures.reliability.reference`), empty if it does
    not, where it is asked to `compare`. `is_json` if a text in JSON is what it reads."""

    name: str
    read: Callable[[bytes, bool], str]
    is_json: bool = False

    def stamped(self, raw: bytes) -> bytes:
        """With the hash that a text in JSON carries of itself, so that this is not what refuses it."""
        return stamp(raw) if self.is_json and raw.count(ZERO_HASH.encode()) == 1 else raw

    @cache  # noqa: B019 - of five that live as long as the process
    def seeds(self) -> tuple[bytes, ...]:
        """Small whole inputs that changes are made to."""
        return tuple(file.read_bytes() for file in sorted((CORPUS / self.name).iterdir()))


def _onnx(raw: bytes, compare: bool) -> str:
    return _model(Path("attack.onnx"), raw, compare)


def _tflite(raw: bytes, compare: bool) -> str:
    return _model(Path("attack.tflite"), raw, compare)


def _model(path: Path, raw: bytes, compare: bool) -> str:
    from edgewright.benchmarks.figures.reliability import reference

    backend = backends.for_path(path)
    file = backend.parse(path, raw)
    backend.graph(file)
    if not compare:
        return ""
    return (reference.onnx_differs if path.suffix == ".onnx" else reference.tflite_differs)(file)


def _manifest(raw: bytes, compare: bool) -> str:
    manifest = Manifest.from_bytes(raw, "manifest.json")
    if not compare:
        return ""
    said = json.loads(raw)
    differs = _differs(
        manifest, said, ("name", "head", "threshold", "labels", "input", "golden", "reference")
    )
    if differs or len(manifest.variants) != len(said["variants"]):
        return differs or "variants"
    pairs = zip(manifest.variants, said["variants"], strict=True)
    return "".join(
        _differs(ours, theirs, ("name",)) + _differs(ours.file, theirs, ("file", "sha256", "bytes"))
        for ours, theirs in pairs
    )


def _contract(raw: bytes, compare: bool) -> str:
    contract = ModelContract.from_json(jsonio.parse(raw, "the contract", ModelFileError))
    keys = ("name", "variant", "head", "labels", "threshold", "verdict", "input")
    return _differs(contract, json.loads(raw), keys) if compare else ""


def _differs(ours: Any, theirs: Any, keys: Sequence[str]) -> str:
    """The first key that says otherwise in the JSON itself; what it leaves out has a default."""
    for key in keys:
        value, found = theirs.get(key), getattr(ours, key)
        if value is None:
            continue
        found = list(found) if isinstance(found, tuple) else found
        found = vars(found) if dataclasses.is_dataclass(found) else found
        if isinstance(found, dict):
            value = {name: value.get(name) for name in found}
        if found != value:
            return f"{key}: {found!r:.60} and {value!r:.60}"
    return ""


def _picture(raw: bytes, compare: bool) -> str:
    pixels = to_pixels(raw, _SMALL)
    if pixels.shape != (1, *_SMALL.shape) or pixels.dtype != "uint8":
        return f"{pixels.dtype} {pixels.shape}"
    return "read again" if compare and pixels.tobytes() != to_pixels(raw, _SMALL).tobytes() else ""


TARGETS = {
    name: Target(name=name, read=read, is_json=name in ("manifest", "contract"))
    for name, read in (
        *(("onnx", _onnx), ("tflite", _tflite), ("manifest", _manifest)),
        *(("contract", _contract), ("picture", _picture)),
    )
}
