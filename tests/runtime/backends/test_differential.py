"""Our readers against those of the formats' own projects, over changed files: the same or refused."""

from __future__ import annotations

import zlib
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

from edgewright.benchmarks.figures.reliability import mutation, reference
from edgewright.runtime import backends
from edgewright.runtime.backends import litert, ort
from edgewright.runtime.errors import ModelFileError

SAMPLES = {
    ".onnx": zlib.decompress(b64decode(ort.BACKEND.sample)),
    ".tflite": zlib.decompress(b64decode(litert.BACKEND.sample)),
}


def differs(suffix: str, raw: bytes) -> str | None:
    """None if it is refused."""
    path = Path(f"mutant{suffix}")
    backend = backends.for_path(path)
    try:
        file = backend.parse(path, raw)
        backend.graph(file)
        return (reference.onnx_differs if suffix == ".onnx" else reference.tflite_differs)(file)
    except ModelFileError:
        return None


@pytest.mark.parametrize(("suffix", "kind"), [(".onnx", "bytes"), (".onnx", "fields"), (".tflite", "bytes")])
def test_changed_file_has_the_same_fields_by_its_own_projects_parser_or_is_refused(
    suffix: str, kind: str
) -> None:
    random = np.random.default_rng(7)
    raw, found = SAMPLES[suffix], []
    assert differs(suffix, raw) == ""
    for _ in range(1500):
        made = mutation.mutated(raw, random) if kind == "bytes" else mutation.protobuf(raw, random)
        found.append((differs(suffix, made), made))
    assert [(said, made) for said, made in found if said] == []
    assert 20 < sum(said is None for said, _ in found) < 1480
