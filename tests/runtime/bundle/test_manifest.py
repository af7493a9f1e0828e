"""A bundle is what its manifest says, byte for byte, or it is refused with the name of the file."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewright.export.exporter import Result
from edgewright.runtime import load
from edgewright.runtime.bundle.evidence import read_evidence
from edgewright.runtime.bundle.manifest import (
    EVIDENCE,
    GOLDEN,
    LABELS,
    MANIFEST,
    PROVENANCE,
    SBOM,
    Bundle,
    FileEntry,
    Manifest,
)
from edgewright.runtime.contract import SCHEMA_VERSION, ZERO_HASH, stamp
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import BundleError, EdgewrightError, UnknownNameError
from edgewright.runtime.verification import read_golden

Rewrite = Callable[..., Manifest]
Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]

VARIANT = "tflite-int8"
FILES = (
    MANIFEST,
    GOLDEN,
    EVIDENCE,
    LABELS,
    *(PROVENANCE, SBOM),
    *("tflite-float32.tflite", "tflite-float16.tflite", "tflite-dynamic-int8.tflite", "tflite-int8.tflite"),
    *("onnx-float32.onnx", "onnx-int8.onnx"),
)


@pytest.fixture
def small(exported: tuple[Path, Result], rewrite: Rewrite, tmp_path: Path) -> Path:
    """A bundle of one variant."""
    folder = tmp_path / "small"
    folder.mkdir()
    for name in (MANIFEST, GOLDEN, LABELS, f"{VARIANT}.tflite"):
        shutil.copyfile(exported[0] / name, folder / name)
    variants = Bundle.open(folder).manifest.variants
    alone = tuple(v for v in variants if v.name == VARIANT)
    rewrite(folder, variants=alone, evidence=None, slsa_provenance=None, sbom=None)
    return folder


def use(folder: Path) -> None:
    """Read all there is in a bundle."""
    bundle = Bundle.open(folder)
    read_golden(bundle)
    read_evidence(bundle)
    bundle.check()
    for variant in bundle.manifest.variants:
        load(folder, variant=variant.name).close()


def test_a_manifest_survives_being_read_and_written(exported: tuple[Path, Result]) -> None:
    raw = (exported[0] / MANIFEST).read_bytes()
    manifest = Manifest.from_bytes(raw, "here")
    assert manifest.to_bytes() == raw
    assert [f"{v.name}" for v in manifest.variants] == [Path(name).stem for name in FILES[6:]]


def test_the_bundle_holds_the_files_that_the_manifest_lists_and_no_other(
    exported: tuple[Path, Result],
) -> None:
    assert sorted(path.name for path in exported[0].iterdir()) == sorted(FILES)
    use(exported[0])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", ["first", "middle", "last", "one more", "one less"])
def test_bundle_with_a_changed_byte_in_any_file_is_refused_and_the_file_named(
    bundle: Path, name: str, place: str
) -> None:
    raw = bytearray((bundle / name).read_bytes())
    match place:
        case "one more":
            raw.append(0)
        case "one less":
            raw.pop()
        case _:
            raw[{"first": 0, "middle": len(raw) // 2, "last": len(raw) - 1}[place]] ^= 1
    (bundle / name).write_bytes(raw)
    with pytest.raises(BundleError, match=name):
        use(bundle)


def test_manifest_with_any_changed_byte_is_refused(small: Path) -> None:
    raw = (small / MANIFEST).read_bytes()
    for position in range(len(raw)):
        changed = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        with pytest.raises(BundleError, match=MANIFEST):
            Manifest.from_bytes(changed, MANIFEST)


@pytest.mark.parametrize("name", FILES)
def test_bundle_with_a_missing_file_names_it(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=name):
        use(bundle)


@pytest.mark.parametrize("name", FILES)
def test_bundle_with_a_folder_in_place_of_a_file_names_it(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    (bundle / name).mkdir()
    with pytest.raises(BundleError, match=name):
        use(bundle)


def test_manifest_of_a_newer_schema_is_refused_and_says_how_to_cure_it(small: Path, edit: Edit) -> None:
    edit(small, lambda data: data.update(schema_version=SCHEMA_VERSION + 1))
    with pytest.raises(BundleError, match=r"got 2: .* newer edgewright; run: pip install --upgrade"):
        Bundle.open(small)


def test_manifest_ignores_additions_to_the_schema(small: Path, edit: Edit) -> None:
    edit(small, lambda data: (data.update(mood="good"), data["variants"][0].update(colour=[1])))
    use(small)


@pytest.mark.parametrize(
    "name",
    [
        *("../outside.tflite", "..", ".", "", "/etc/passwd", "a/b.tflite", "./tflite-int8.tflite"),
        *("..\\outside.tflite", "C:\\outside.tflite", "C:outside.tflite", ".hidden.tflite", "a\0b.tflite"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("where", ["a variant", "golden"])
def test_manifest_file_name_that_leaves_the_bundle_folder_is_refused(
    small: Path, edit: Edit, name: str, where: str
) -> None:
    shutil.copyfile(small / f"{VARIANT}.tflite", small.parent / "outside.tflite")

    def change(data: dict[str, Any]) -> None:
        (data["golden"] if where == "golden" else data["variants"][0])["file"] = name

    data = json.loads((small / MANIFEST).read_bytes()) | {"sha256": ZERO_HASH}
    change(data)
    (small / MANIFEST).write_bytes(stamp(json.dumps(data).encode()))
    with pytest.raises(BundleError, match="expected 'file' to be the plain name of a file"):
        use(small)


@pytest.mark.parametrize(
    "target", ["../outside.tflite", f"../small/{VARIANT}.tflite"], ids=["outside", "itself"]
)
def test_bundle_link_that_leaves_the_folder_or_leads_nowhere_is_refused(small: Path, target: str) -> None:
    link = small / f"{VARIANT}.tflite"
    link.rename(small.parent / "outside.tflite")
    link.symlink_to(target)
    with pytest.raises(BundleError, match=link.name):
        use(small)


def test_bundle_link_inside_the_folder_and_a_link_to_the_folder_are_fine(small: Path) -> None:
    link = small / f"{VARIANT}.tflite"
    link.rename(small / "elsewhere.bin")
    link.symlink_to("elsewhere.bin")
    (small.parent / "latest").symlink_to(small.name)
    use(small.parent / "latest")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a JSON value can be changed: every key, and the first item of every list."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value[:1]))
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def mutants(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """The manifest with each value replaced or left out in turn, well stamped."""
    data = json.loads(raw) | {"sha256": ZERO_HASH}
    for place in places(data):
        for value in (None, True, -1, 0.5, 10**400, "", "\ud800", [], {}, [None], "left out"):
            changed = copy.deepcopy(data)
            holder = changed
            for key in place[:-1]:
                holder = holder[key]
            if value == "left out":
                del holder[place[-1]]
            else:
                holder[place[-1]] = value
            text = json.dumps(changed).encode()
            yield f"{place} = {value!r:.12}", stamp(text) if text.count(ZERO_HASH.encode()) == 1 else text


@pytest.mark.slow
def test_manifest_mutants_are_used_or_refused_in_one_line(
    small: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    wrong = []
    for what, raw in mutants((small / MANIFEST).read_bytes()):
        (small / MANIFEST).write_bytes(raw)
        try:
            use(small)
            status, _, err = run("inspect", small)
            assert (status, err.count("\n")) in ((0, 0), (1, 1))
        except EdgewrightError:
            pass
        except Exception as failure:
            wrong.append(f"{what}: {type(failure).__name__}: {failure}")
    assert wrong == []


@pytest.mark.parametrize(
    "key", ["name", "input", "labels", "head", "golden", "variants", "reference", "sha256"]
)
def test_manifest_without_a_key_names_it(small: Path, key: str) -> None:
    data = json.loads((small / MANIFEST).read_bytes()) | {"sha256": ZERO_HASH}
    del data[key]
    raw = jsonio.dump(data)
    with pytest.raises(BundleError, match=f"expected '{key}' to be .* in here, got nothing"):
        Manifest.from_bytes(raw if key == "sha256" else stamp(raw), "here")


def test_manifest_variants_need_names_of_their_own(small: Path, edit: Edit) -> None:
    edit(small, lambda data: data["variants"].append(data["variants"][0]))
    with pytest.raises(BundleError, match="variants with different names"):
        Bundle.open(small)


def test_a_manifest_that_disagrees_with_the_files_own_contract_is_refused(
    small: Path, rewrite: Rewrite
) -> None:
    labels = Bundle.open(small).manifest.labels
    rewrite(small, labels=labels[::-1])
    with pytest.raises(BundleError, match=f"{VARIANT}.tflite does not hold what the manifest says"):
        load(small, variant=VARIANT)


def test_bundle_variant_of_an_unknown_name_suggests_the_nearest(exported: tuple[Path, Result]) -> None:
    with pytest.raises(UnknownNameError, match="unknown variant 'tflite-int9'; did you mean 'tflite-int8'"):
        Bundle.open(exported[0]).variant("tflite-int9")


def test_file_entry_is_right_for_the_file_it_was_made_of(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"abc")
    entry = FileEntry.of(path)
    assert entry.check(tmp_path) == path
    with pytest.raises(BundleError, match=r"damaged: expected 4 bytes"):
        dataclasses.replace(entry, bytes=4).check(tmp_path)
    with pytest.raises(BundleError, match="damaged"):
        dataclasses.replace(entry, sha256="0" * 64).check(tmp_path)
