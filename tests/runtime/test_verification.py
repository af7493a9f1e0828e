"""The golden images pass on every variant here, and every way they can be wrong is found."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export import formats
from edgewright.export.exporter import Result
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.runtime import backends, verification
from edgewright.runtime.bundle.manifest import GOLDEN, Bundle, FileEntry, Manifest, VariantEntry
from edgewright.runtime.errors import BundleError
from edgewright.runtime.verification import (
    GOLDEN_BOUNDARY,
    GOLDEN_INPUTS,
    GOLDEN_REFERENCE,
    read_golden,
    verify,
)
from edgewright.train.datasets import Dataset

Arrays = dict[str, NDArray[Any]]
Rewrite = Callable[..., Manifest]
ChangeGolden = Callable[..., None]

VARIANT = "onnx-float32"


def packed(arrays: Arrays) -> bytes:
    memory = io.BytesIO()
    np.savez_compressed(memory, allow_pickle=True, **arrays)
    return memory.getvalue()


def members(**named: bytes) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, raw in named.items():
            archive.writestr(name, raw)
    return memory.getvalue()


def flipped(raw: bytes, after: bytes, offset: int, new: bytes) -> bytes:
    start = raw.rindex(after) + offset
    return raw[:start] + new + raw[start + len(new) :]


@pytest.fixture
def change_golden(bundle: Path, rewrite: Rewrite) -> ChangeGolden:
    """Give the bundle another golden file, and a manifest that is right about it."""

    def call(raw: bytes) -> None:
        (bundle / GOLDEN).write_bytes(raw)
        rewrite(bundle, golden=FileEntry.of(bundle / GOLDEN))

    return call


@pytest.fixture
def golden(exported: tuple[Path, Result]) -> Arrays:
    return dict(read_golden(Bundle.open(exported[0])))


def change_variant(folder: Path, rewrite: Rewrite, name: str, **changes: Any) -> VariantEntry:
    entry = Bundle.open(folder).variant(name)
    new = dataclasses.replace(entry, **changes)
    variants = Bundle.open(folder).manifest.variants
    rewrite(folder, variants=tuple(new if v.name == name else v for v in variants))
    return entry


def test_verify_finds_every_variant_to_give_here_what_it_gave_where_it_was_made(
    exported: tuple[Path, Result],
) -> None:
    found = verify(exported[0])
    entries = Bundle.open(exported[0]).manifest.variants
    assert [v.variant for v in found] == [entry.name for entry in entries]
    for result, entry in zip(found, entries, strict=True):
        assert (result.status, result.reason, result.kernels) == ("ok", "", entry.tolerance.kernels)
        assert result.limit == entry.tolerance.max_abs
        assert result.max_abs_error <= result.limit


def test_the_golden_images_are_of_every_class_and_their_scores_those_of_keras(
    golden: Arrays, fashion_mini: Dataset
) -> None:
    label_of = {
        image.tobytes(): int(y) for image, y in zip(fashion_mini.x_test, fashion_mini.y_test, strict=True)
    }
    classes = [label_of[image.tobytes()] for image in golden[GOLDEN_INPUTS]]
    assert len(classes) == 16
    assert set(classes) == set(range(10))
    assert np.abs(golden[VARIANT] - golden[GOLDEN_REFERENCE]).max() < 1e-5


@pytest.mark.parametrize("change", [1e-3, np.nan, np.inf])
def test_verify_one_changed_golden_score_fails_its_variant_and_no_other(
    bundle: Path, golden: Arrays, change_golden: ChangeGolden, change: float
) -> None:
    golden[VARIANT][3, 2] += change
    change_golden(packed(golden))
    failed = [v for v in verify(bundle) if v.status != "ok"]
    assert [(v.variant, v.status) for v in failed] == [(VARIANT, "failed")]
    assert failed[0].reason.startswith("scores differ by")


def test_verify_one_changed_golden_pixel_fails(
    bundle: Path, golden: Arrays, change_golden: ChangeGolden
) -> None:
    golden[GOLDEN_INPUTS][0] = 255 - golden[GOLDEN_INPUTS][0]
    change_golden(packed(golden))
    assert {v.status for v in verify(bundle)} == {"failed"}


def test_verify_holds_other_kernels_to_the_looser_tolerance(bundle: Path, rewrite: Rewrite) -> None:
    entry = Bundle.open(bundle).variant(VARIANT)
    tolerance = dataclasses.replace(entry.tolerance, kernels="another NPU", max_abs_elsewhere=0.5)
    change_variant(bundle, rewrite, VARIANT, tolerance=tolerance)
    result = next(v for v in verify(bundle) if v.variant == VARIANT)
    assert (result.status, result.limit) == ("ok", 0.5)


def test_verify_on_other_kernels_counts_the_top_class_too(
    bundle: Path, rewrite: Rewrite, golden: Arrays, change_golden: ChangeGolden
) -> None:
    golden[VARIANT][:2] = golden[VARIANT][:2, ::-1]
    change_golden(packed(golden))
    tolerance = dataclasses.replace(
        Bundle.open(bundle).variant(VARIANT).tolerance, kernels="another NPU", max_abs_elsewhere=2.0
    )
    change_variant(bundle, rewrite, VARIANT, tolerance=tolerance)
    result = next(v for v in verify(bundle) if v.variant == VARIANT)
    assert (result.status, result.reason) == ("failed", "another top class on 2 of 16 images")


def test_verify_counts_the_top_class_on_the_same_kernels_too(
    bundle: Path, rewrite: Rewrite, golden: Arrays, change_golden: ChangeGolden
) -> None:
    golden[VARIANT][:2] = golden[VARIANT][:2, ::-1]
    change_golden(packed(golden))
    tolerance = dataclasses.replace(Bundle.open(bundle).variant(VARIANT).tolerance, max_abs=2.0)
    change_variant(bundle, rewrite, VARIANT, tolerance=tolerance)
    result = next(v for v in verify(bundle) if v.variant == VARIANT)
    assert (result.status, result.reason) == ("failed", "another top class on 2 of 16 images")


@pytest.mark.parametrize(
    ("recorded", "limit"), [("", 0.25), (None, 0.25), ("ai_edge_litert-0.1 on aarch64 asimd", 0.5)]
)
def test_verify_repeats_scores_closely_only_with_such_an_interpreter_on_such_a_processor(
    bundle: Path, rewrite: Rewrite, recorded: str | None, limit: float
) -> None:
    entry = Bundle.open(bundle).variant("tflite-int8")
    assert entry.tolerance.machine == verification.machine(Path(entry.file.file))
    machine = entry.tolerance.machine if recorded is None else recorded
    tolerance = dataclasses.replace(entry.tolerance, max_abs=0.25, max_abs_elsewhere=0.5, machine=machine)
    change_variant(bundle, rewrite, entry.name, tolerance=tolerance)
    assert next(v for v in verify(bundle) if v.variant == entry.name).limit == limit


def test_the_boundary_images_are_others_that_keras_is_least_sure_of(golden: Arrays) -> None:
    near = golden[GOLDEN_BOUNDARY + GOLDEN_INPUTS]
    assert len(near) == 8
    assert not {image.tobytes() for image in near} & {image.tobytes() for image in golden[GOLDEN_INPUTS]}
    margins = [
        np.diff(np.sort(golden[name], axis=1)[:, -2:])
        for name in (GOLDEN_REFERENCE, GOLDEN_BOUNDARY + GOLDEN_REFERENCE)
    ]
    assert margins[1].max() < margins[0].min()


def test_verify_a_bundle_from_before_there_were_boundary_images(
    bundle: Path, golden: Arrays, change_golden: ChangeGolden
) -> None:
    change_golden(packed({name: a for name, a in golden.items() if not name.startswith(GOLDEN_BOUNDARY)}))
    assert {v.status for v in verify(bundle)} == {"ok"}


def test_verify_finds_a_zero_point_that_is_off_by_one(bundle: Path, rewrite: Rewrite) -> None:
    entry = Bundle.open(bundle).variant("tflite-int8")
    path = bundle / entry.file.file
    tree = tflite_tree.read(path.read_bytes())
    layer = next(op for op in tflite_tree.operators(tree) if op.name == "FULLY_CONNECTED")
    kernel, bias = (tflite_tree.constant(tree, index) for index in layer.inputs[1:])
    of_ones = kernel.reshape(len(kernel), -1).astype(np.int32).sum(1)  # what one more of each input adds
    tflite_tree.set_constant(tree, layer.inputs[2], bias + of_ones)
    contract = backends.for_path(path).read(path).contract()
    assert contract is not None
    path.write_bytes(tflite_tree.write(tree))
    formats.get("tflite").attach(path, contract)
    change_variant(bundle, rewrite, entry.name, file=FileEntry.of(path))
    found = next(v for v in verify(bundle) if v.variant == entry.name)
    assert (found.status, found.limit) == ("failed", entry.output.scale / 2)
    assert found.max_abs_error > 4 * entry.output.scale


def test_verify_one_changed_score_of_a_boundary_image_fails_its_variant_and_no_other(
    bundle: Path, golden: Arrays, change_golden: ChangeGolden
) -> None:
    golden[GOLDEN_BOUNDARY + VARIANT][3, 2] += 1e-3
    change_golden(packed(golden))
    failed = [v for v in verify(bundle) if v.status != "ok"]
    assert [(v.variant, v.max_abs_error > 9e-4) for v in failed] == [(VARIANT, True)]
    assert failed[0].reason == "scores differ by 0.001, more than 1e-05, near the boundary of two classes"


@pytest.mark.parametrize(
    "make",
    [
        lambda g: b"",
        lambda g: b"hello, I am text",
        lambda g: packed(g)[:-100],
        lambda g: packed({name: array for name, array in g.items() if name != VARIANT}),
        lambda g: packed({name: array for name, array in g.items() if name != GOLDEN_INPUTS}),
        lambda g: packed({name: array[:0] for name, array in g.items()}),
        lambda g: packed(g | {VARIANT: g[VARIANT][:, :9]}),
        lambda g: packed(g | {GOLDEN_INPUTS: g[GOLDEN_INPUTS][:, :27]}),
        lambda g: packed(g | {GOLDEN_INPUTS: np.array(3, np.uint8)}),
        lambda g: packed(g | {GOLDEN_INPUTS: g[GOLDEN_INPUTS].astype(np.float32)}),
        lambda g: packed(g | {VARIANT: g[VARIANT].astype(str)}),
        lambda g: packed(g | {VARIANT: g[VARIANT].astype(complex)}),
        lambda g: packed(g | {VARIANT: g[VARIANT].astype(object)}),
        lambda g: members(inputs=b"text", keras=b"text"),
        lambda g: (
            b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }".ljust(128)
            + b"\n123"
        ),
        lambda g: members(
            **{
                "inputs.npy": b"\x93NUMPY\x01\x00F\x00{'descr':'|u1','fortran_order':False,'shape':(9"
                + b"9" * 13
            }
        ),
        lambda g: flipped(packed(g), b"PK\x01\x02", 10, b"\x63\0"),
        lambda g: flipped(packed(g), b"PK\x01\x02", 8, b"\x01"),
        lambda g: flipped(packed(g), b"PK\x03\x04", 63, b"\xff" * 40),
    ],
    ids=[
        *("empty", "text", "cut off", "a variant is missing", "inputs are missing", "no images"),
        *(
            "too few classes",
            "too few rows",
            "inputs are one number",
            "inputs are floats",
            "scores are strings",
        ),
        *(
            "scores are complex",
            "scores are objects",
            "members are text",
            "a single array",
            "a broken header",
        ),
        *("unknown compression", "encrypted", "damaged compression"),
    ],
)
def test_verify_names_a_golden_file_that_is_not_what_it_should_be(
    bundle: Path, golden: Arrays, change_golden: ChangeGolden, make: Callable[[Arrays], bytes]
) -> None:
    change_golden(make(golden))
    with pytest.raises(BundleError, match=GOLDEN):
        verify(bundle)


def test_verify_checks_a_file_that_cannot_run_here_all_the_same(
    bundle: Path, fresh: Callable[..., Any]
) -> None:
    path = bundle / "onnx-int8.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(BundleError, match=r"onnx-int8\.onnx is damaged"):
        verify(bundle)
    done = fresh("verify", bundle, blocked=["onnxruntime"])
    assert (done.returncode, done.stdout) == (1, "")
    assert "onnx-int8.onnx is damaged" in done.stderr
