"""What a bundle says of its making is right, in the forms that other tools read, and the same every time."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from edgewright.export.attestation import packages, provenance, sbom
from edgewright.export.attestation.packages import needed_by
from edgewright.export.attestation.provenance import Input
from edgewright.export.exporter import Result
from edgewright.export.source.options import Given, Options
from edgewright.runtime import verify
from edgewright.runtime.bundle.manifest import PROVENANCE, SBOM, Bundle, FileEntry
from edgewright.runtime.disk.files import sha256_of
from edgewright.runtime.errors import BundleError
from edgewright.train.checkpoint import Checkpoint
from edgewright.train.datasets import Dataset
from edgewright.train.normalization import Normalization

MODELS = [FileEntry(file=f"{name}-int8.{name}", sha256=name[0] * 64, bytes=1) for name in ("tflite", "onnx")]


@pytest.fixture
def statement(exported: tuple[Path, Result]) -> dict[str, Any]:
    return dict(json.loads((exported[0] / PROVENANCE).read_bytes()))


def test_subjects_are_the_files_of_the_bundle(
    exported: tuple[Path, Result], statement: dict[str, Any]
) -> None:
    folder = exported[0]
    files = {path.name for path in folder.iterdir()} - {"manifest.json", PROVENANCE}
    subjects = {each["name"]: each["digest"] for each in statement["subject"]}
    assert subjects == {name: {"sha256": sha256_of(folder / name)} for name in files}


def test_inputs_are_named_by_their_digests(
    exported: tuple[Path, Result], statement: dict[str, Any], trained: Path, fashion_mini: Dataset
) -> None:
    definition = statement["predicate"]["buildDefinition"]
    digests = {each["name"]: each.get("digest") for each in definition["resolvedDependencies"]}
    assert digests["model.keras"] == {"sha256": Checkpoint.open(trained).model_sha256}
    assert digests[fashion_mini.name] == {"sha256": fashion_mini.sha256}
    manifest = Bundle.open(exported[0]).manifest
    assert digests["calibration images"] == {"sha256": manifest.calibration["sha256"]}
    assert "test images" in digests
    uris = {each["name"]: each.get("uri") for each in definition["resolvedDependencies"]}
    assert uris["numpy"] == f"pkg:pypi/numpy@{metadata.version('numpy')}"
    told = definition["externalParameters"]
    assert (told["command"], told["model"], told["max_drop"]) == ("edgewright export", "model.keras", 0.01)
    assert told["variants"] == [variant.name for variant in manifest.variants]


def test_nothing_says_when_or_where(exported: tuple[Path, Result], trained: Path) -> None:
    for name in (PROVENANCE, SBOM):
        text = (exported[0] / name).read_text(encoding="utf-8")
        assert not re.search(r"\d{4}-\d\d-\d\dT", text)
        for place in (str(trained), str(exported[0]), f"{Path.home()}/"):
            assert place not in text


def test_options_say_names_and_no_places(tmp_path: Path) -> None:
    place = tmp_path / "secret" / "pictures"
    given = Given(labels=place / "labels.txt", test=str(place), normalization=Normalization.of_range(0, 1))
    options = Options(out=place, data=str(place), data_dir=place, pool=place / "pool.zip", given=given)
    told = options.to_json()
    assert "secret" not in json.dumps(told)
    assert (told["data"], told["pool"], told["given"]["labels"]) == ("pictures", "pool.zip", "labels.txt")
    assert (told["batch"], told["dtype"], told["given"]["size"]) == (1, "uint8", None)
    assert {"out", "overwrite", "data_dir"}.isdisjoint(told)


def test_statement_is_what_in_toto_takes(statement: dict[str, Any]) -> None:
    pytest.importorskip("in_toto_attestation", reason="pip install 'edgewright[sign]'")
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    parsed = json_format.ParseDict(statement, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    told = json_format.ParseDict(statement["predicate"], provenance_pb2.Provenance())
    # What SLSA's specification requires of a provenance.
    assert told.build_definition.build_type and told.build_definition.external_parameters
    assert told.run_details.builder.id
    wrong = {**statement, "predicate": {**statement["predicate"], "builder": {}}}
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict(wrong["predicate"], provenance_pb2.Provenance())


@pytest.mark.slow
def test_bill_is_what_cyclonedx_takes(exported: tuple[Path, Result]) -> None:
    pytest.importorskip("cyclonedx", reason="pip install 'edgewright[dev]'")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    text = (exported[0] / SBOM).read_text(encoding="utf-8")
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"scope": "required"', '"scope": "perhaps"')) is not None


def test_bill_has_what_makes_and_what_runs(exported: tuple[Path, Result]) -> None:
    bundle, bill = Bundle.open(exported[0]), json.loads((exported[0] / SBOM).read_bytes())
    scopes = {each["name"]: each["scope"] for each in bill["components"]}
    for name in ("edgewright", "numpy", "pillow", "ai-edge-litert", "onnxruntime"):
        assert scopes[name] == "required"
    for name in ("tensorflow", "keras", "onnx", "tf2onnx"):
        assert scopes[name] == "excluded"
    versions = {each["name"]: each["version"] for each in bill["components"]}
    assert all(version == metadata.version(name) for name, version in versions.items())
    parts = bill["metadata"]["component"]["components"]
    assert {part["name"]: part["hashes"][0]["content"] for part in parts} == {
        variant.file.file: variant.file.sha256 for variant in bundle.manifest.variants
    }
    known = {bill["metadata"]["component"]["bom-ref"], *(each["bom-ref"] for each in bill["components"])}
    for each in bill["dependencies"]:
        assert {each["ref"], *each["dependsOn"]} <= known


def test_a_bundle_of_onnx_files_needs_onnxruntime_alone() -> None:
    scopes = {each["name"]: each["scope"] for each in json.loads(sbom.make("net", MODELS[1:]))["components"]}
    assert (scopes["onnxruntime"], scopes["ai-edge-litert"]) == ("required", "excluded")


def test_the_same_gives_the_same_bytes_and_other_files_another_number() -> None:
    first = sbom.make("net", MODELS)
    packages._told.cache_clear()
    assert sbom.make("net", MODELS[::-1]) == first
    fewer = sbom.with_models(first, MODELS[1:], "a bill")
    numbers = {json.loads(raw)["serialNumber"] for raw in (first, fewer, sbom.make("other", MODELS))}
    assert len(numbers) == 3
    assert sbom.with_models(fewer, MODELS, "a bill") == first
    made = [provenance.make(files, {}, [], ["numpy"]) for files in (MODELS, MODELS[::-1])]
    assert made[0] == made[1]


def test_a_statement_that_is_none_is_refused() -> None:
    for raw in (b"{}", b"[]", b'{"predicate": {"buildDefinition": {"resolvedDependencies": 1}}}'):
        with pytest.raises(BundleError):
            provenance.with_files(raw, MODELS, [Input(name="a", sha256="0" * 64)], "a statement")
    with pytest.raises(BundleError):
        sbom.with_models(b'{"metadata": {}}', MODELS, "a bill")


def test_packages_are_followed_through_extras_and_markers() -> None:
    found = needed_by("edgewright[onnx]", "nobody-has-this")
    assert {"edgewright", "numpy", "pillow", "onnxruntime"} <= set(found)
    assert "tensorflow" not in found
    assert "nobody-has-this" not in found
    assert list(found) == sorted(found)
    assert found["onnxruntime"].name in found["edgewright"].needs
    assert found["numpy"].purl == f"pkg:pypi/numpy@{metadata.version('numpy')}"


def test_verify_finds_them_damaged_or_gone(bundle: Path) -> None:
    for name in (PROVENANCE, SBOM):
        raw = (bundle / name).read_bytes()
        (bundle / name).write_bytes(raw.replace(b"edgewright", b"Edgewright", 1))
        with pytest.raises(BundleError, match=f"{name} is damaged"):
            verify(bundle)
        (bundle / name).unlink()
        with pytest.raises(BundleError, match=name):
            verify(bundle)
        (bundle / name).write_bytes(raw)


def test_bundles_of_before_have_neither(bundle: Path) -> None:
    path = bundle / "manifest.json"
    from edgewright.runtime.contract import ZERO_HASH, stamp
    from edgewright.runtime.disk import jsonio

    data = json.loads(path.read_bytes()) | {"sha256": ZERO_HASH}
    for key, name in (("slsa_provenance", PROVENANCE), ("sbom", SBOM)):
        del data[key]
        (bundle / name).unlink()
    path.write_bytes(stamp(jsonio.dump(data)))
    assert {found.status for found in verify(bundle)} == {"ok"}
    manifest = Bundle.open(bundle).manifest
    assert (manifest.sbom, manifest.slsa_provenance) == (None, None)
    assert b"slsa_provenance" not in manifest.to_bytes()
