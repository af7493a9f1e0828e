"""A lone model file as the bundle of one variant that targets measure, with images of noise.

Both are named after the file's stem. The folder is a temporary one; it goes when nobody holds its `Bundle`
any more.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime import backends
from edgewright.runtime.backends import ModelFile
from edgewright.runtime.bundle.manifest import (
    GOLDEN,
    MANIFEST,
    Bundle,
    FileEntry,
    Manifest,
    Tolerance,
    VariantEntry,
)
from edgewright.runtime.bundle.parity import Judging, ParityReport
from edgewright.runtime.contract import InputContract
from edgewright.runtime.contract.heads import NUMBERS
from edgewright.runtime.foreign import LONE, SIDE, hints_of, huggingface, input_shape
from edgewright.runtime.graph import Graph
from edgewright.runtime.predictor import load
from edgewright.runtime.verification import GOLDEN_INPUTS, GOLDEN_REFERENCE

NOTE = "a lone file has no images: it ran on noise"
_IMAGES = 16
_GRAIN = 8  # pixels: noise as coarse as a photo is, so that a JPEG of it takes as long to decode
_INTEGERS = ("int8", "uint8", "int16", "uint16", "int4", "uint4")


def as_bundle(path: Path, size: tuple[int, int] | None = None) -> Bundle:
    """A bundle of one file, its own or of others, where images are noise and nothing was judged.

    Args:
        path: a .tflite or .onnx file.
        size: height and width, of a file that takes pictures of any.

    Raises:
        ModelFileError, MissingExtraError, InputError: a file that cannot be opened, or no image classifier.
    """
    backend = backends.for_path(path)
    file = backend.read(path)
    graph = backend.graph(file)
    _, remark = input_shape(file, size)
    given = _given(file, size or ((SIDE, SIDE) if remark else None))
    with load(path, **given) as predictor:
        contract, kernels = predictor.contract, predictor.session.kernels
        images = noise(contract.input)
        scores = np.concatenate([predictor.scores(image[np.newaxis]) for image in images])
    folder = Path(tempfile.mkdtemp(prefix="edgewright-lone-"))
    try:
        return _written(folder, path, file, graph, contract.to_json(), given, images, scores, kernels, remark)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def noise(contract: InputContract) -> NDArray[np.uint8]:
    """Coarse noise `(16, height, width, channels)`, the same each time."""
    random = np.random.default_rng(0)
    rows, columns = -(-contract.height // _GRAIN), -(-contract.width // _GRAIN)
    coarse = random.integers(0, 256, (_IMAGES, rows, columns, contract.channels), np.uint8)
    whole = coarse.repeat(_GRAIN, axis=1).repeat(_GRAIN, axis=2)
    return whole[:, : contract.height, : contract.width]


def arithmetic(graph: Graph) -> str:
    """What a file mostly computes with, `int8` or `float32`, by its multiplications."""
    maker = {key: node for node in graph.nodes for key in node.outputs}
    done = {"int8": 0, "float32": 0}
    for node in graph.nodes:
        if not node.macs:
            continue
        kinds = []
        for key in node.inputs[:5]:
            before = maker.get(key)
            if before is not None and before.operator == "DequantizeLinear":  # QDQ: fused when it is loaded
                key = before.inputs[0]
            kinds.append(graph.tensors[key].dtype)
        weights = {kind for kind in kinds[1:] if kind not in ("int32", "int64")} or set(kinds)
        exact = kinds[0] in _INTEGERS or (bool(weights & set(_INTEGERS)) and node.operator.isupper())
        done["int8" if exact else "float32"] += node.macs
    return max(done, key=lambda kind: (done[kind], kind == "float32"))


def _given(file: ModelFile, size: tuple[int, int] | None) -> dict[str, Any]:
    """What is said of the file to open it: how pixels are scaled and classes called takes no time."""
    if file.contract() is not None:
        return {"size": size} if size else {}
    given: dict[str, Any] = {"labels": NUMBERS}
    if size is not None:
        given["size"] = size
    if file.inputs and file.inputs[0].dtype != "uint8" and hints_of(file).scaling is None:
        given["input_range"] = (0.0, 1.0)
    return given


def _written(
    folder: Path,
    path: Path,
    file: ModelFile,
    graph: Graph,
    contract: Mapping[str, Any],
    given: Mapping[str, Any],
    images: NDArray[np.uint8],
    scores: NDArray[np.float32],
    kernels: str,
    remark: str,
) -> Bundle:
    """The bundle in its folder."""
    # the name of an array too
    name = path.name if path.stem in (GOLDEN_INPUTS, GOLDEN_REFERENCE, "file") else path.stem
    plain = path.name.isprintable() and not set(path.name) & set("\\:") and not path.name.startswith(".")
    copy = folder / (path.name if plain else f"model{path.suffix}")
    try:
        os.link(path, copy)
    except OSError:  # another file system
        shutil.copyfile(path, copy)
    for beside in huggingface.beside(path):
        shutil.copyfile(beside, folder / beside.name)
    arrays: dict[str, Any] = {GOLDEN_INPUTS: images, GOLDEN_REFERENCE: scores, name: scores}
    np.savez(folder / GOLDEN, **arrays)
    told: dict[str, Any] = {key: list(value) for key, value in given.items() if key != "labels"}
    told |= {"nameless": "labels" in given, "notes": [NOTE, *([remark] if remark else [])]}
    size = path.stat().st_size
    why = "a lone file: nothing was judged"
    entry = VariantEntry(
        name=name,
        format=path.suffix.lstrip("."),
        scheme="unknown",
        arithmetic=arithmetic(graph),
        rank=0,
        file=FileEntry.of(copy),
        gzip_bytes=size,
        input=file.inputs[0],
        output=file.outputs[0],
        peak_activation_bytes=graph.peak_bytes(),
        tolerance=Tolerance(kernels=kernels, max_abs=1e-5, max_abs_elsewhere=1.0),
        parity=ParityReport(
            samples=0,
            accuracy=0.0,
            drop=0.0,
            drop_low=0.0,
            drop_high=0.0,
            agreement=0.0,
            tie_agreement=0.0,
            max_abs_error=0.0,
            verdict="not proven",
            reason=why,
        ),
    )
    manifest = Manifest(
        name=path.stem,
        input=InputContract(**contract["input"]),
        labels=tuple(contract["labels"]),
        head=contract["head"],
        judging=Judging(by="agreement", images="noise"),
        reference={"samples": 0, "accuracy": 0.0, "bytes": size, "gzip_bytes": size},
        variants=(entry,),
        golden=FileEntry.of(folder / GOLDEN),
        provenance={LONE: told},
    )
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    bundle = Bundle(folder=folder, manifest=manifest)
    weakref.finalize(bundle, shutil.rmtree, folder, ignore_errors=True)
    return bundle
