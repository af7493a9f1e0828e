"""`edgewright inspect`: a file says what it is, on any machine; a bundle shows how it was proven."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.runtime import plugins
from edgewright.runtime.bundle.manifest import Bundle

Run = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]
Fresh = Callable[..., Any]

EVERYTHING = ("tensorflow", "keras", "tf_keras", "onnx", "onnxruntime", "ai_edge_litert", "rich")


def facts(out: str) -> dict[str, str]:
    return {line[:10].strip(): line[11:] for line in out.splitlines()}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "tflite-int8.tflite",
            {
                "format": "TFLite schema 3",
                "input": "serving_default_image:0: uint8 1x28x28x1, scale 0.0039215689, zero point 0",
                "operators": "6: FULLY_CONNECTED 2, QUANTIZE 2, RESHAPE 1, SOFTMAX 1",
            },
        ),
        (
            "onnx-int8.onnx",
            {
                "format": "ONNX IR 8, opset ai.onnx 17",
                "input": "image: uint8 1x28x28x1",
                "output": "scores: float32 1x10",
            },
        ),
    ],
)
def test_inspect_file_says_what_it_is(run: Run, bundle: Path, file: str, expected: dict[str, str]) -> None:
    status, out, err = run("inspect", bundle / file)
    assert (status, err) == (0, "")
    found = facts(out)
    assert expected.items() <= found.items()
    assert found["file"] == str(bundle / file)
    assert found["bytes"] == f"{(bundle / file).stat().st_size:,}"
    assert "edgewright" in found["metadata"].split(", ")
    assert found["contract"] == f"fashion-mlp, variant {Path(file).stem}; its SHA-256 is right"
    assert found["pixels"] == "28x28x1 uint8, stretch, bilinear"
    assert found["scores"] == "10 softmax"
    assert found["labels"].startswith("T-shirt/top, Trouser, ")


@pytest.mark.parametrize("file", ["tflite-int8.tflite", "onnx-int8.onnx"])
def test_inspect_file_where_nothing_is_installed(fresh: Fresh, bundle: Path, file: str) -> None:
    done = fresh("inspect", bundle / file, blocked=EVERYTHING)
    assert (done.returncode, done.stderr) == (0, "")
    assert facts(done.stdout)["labels"].endswith("Ankle boot")


def test_inspect_file_without_a_contract_says_that_it_has_none(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    for file in ("tflite-int8.tflite", "onnx-int8.onnx"):
        plain = tmp_path / file
        plain.write_bytes((bundle / file).read_bytes().replace(b"edgewright", b"someoneels"))
        status, out, err = run("inspect", plain)
        assert (status, err) == (0, "")
        assert facts(out)["contract"].startswith("none")
        assert ("labels" in facts(out)) == (file.endswith(".tflite"))  # which has the standard record too


@pytest.mark.parametrize("with_rich", [True, False])
def test_inspect_bundle_shows_the_parity_of_each_variant_under_the_keras_model(
    run: Run, bundle: Path, with_rich: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_rich:
        monkeypatch.setattr(plugins, "installed", lambda module: False)
    status, out, err = run("inspect", bundle)
    assert (status, err) == (0, "")
    manifest = Bundle.open(bundle).manifest
    assert "fashion-mlp" in out
    assert "2,000 test images" in out
    rows = [line.split() for line in out.splitlines()]
    names = ["keras", *(v.name for v in manifest.variants)]
    assert [row[0] for row in rows if row and row[0] in names] == [*names, *names[1:]]
    assert "worst class" in out
    for variant in manifest.variants:
        row = next(row for row in rows if row and row[0] == variant.name)
        assert row[1:5] == [
            f"{variant.file.bytes:,}",
            f"{variant.gzip_bytes:,}",
            f"{variant.parity.accuracy:.4f}",
            f"{variant.parity.drop:+.4f}",
        ]
        assert row[-1] == "passed"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tflite", None),
        ("a.onnx", None),
        ("a", None),
        ("a.tflite", "text"),
        ("a.onnx", "text"),
        ("a.pt", "text"),
    ],
)
def test_inspect_what_is_no_model_file_is_one_line(
    refused: Refused, tmp_path: Path, name: str, text: str | None
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text * 100)
    assert name in refused("inspect", tmp_path / name)


@pytest.mark.parametrize("file", ["tflite-int8.tflite", "onnx-int8.onnx"])
def test_inspect_finds_a_changed_byte(refused: Refused, bundle: Path, file: str) -> None:
    raw = bytearray((bundle / file).read_bytes())
    raw[len(raw) // 2] ^= 1
    (bundle / file).write_bytes(raw)
    assert f"{file} is damaged" in refused("inspect", bundle / file)


def test_inspect_folder_that_is_no_bundle_is_one_line(refused: Refused, tmp_path: Path) -> None:
    assert "without manifest.json" in refused("inspect", tmp_path)


@pytest.mark.parametrize("file", ["tflite-int8.tflite", "onnx-int8.onnx"])
def test_inspect_file_adds_up_macs_constants_and_peak(run: Run, bundle: Path, file: str) -> None:
    found = facts(run("inspect", bundle / file)[1])
    assert found["macs"] == "203,264 (multiply-accumulates of a run)"
    assert found["constants"].startswith("int8 20")
    assert found["peak"].endswith(" (bytes of activations at one moment)")
    if file.endswith("tflite"):
        assert found["XNNPACK"] == "takes all but QUANTIZE 2, SOFTMAX 1"


def test_inspect_layers_and_tensors_are_tables(run: Run, bundle: Path) -> None:
    layers = run("inspect", bundle / "tflite-int8.tflite", "--layers")[1]
    (row,) = [line.split() for line in layers.splitlines() if "200,704" in line]
    assert row[:5] == ["FULLY_CONNECTED", "int8", "1x256", "200,704", "201,728"]
    tensors = run("inspect", bundle / "tflite-int8.tflite", "--tensors")[1]
    assert "per channel (axis 0): 256 scales" in tensors


def test_inspect_json_has_it_all(run: Run, bundle: Path) -> None:
    status, out, err = run("inspect", bundle, "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    told_beside = (told["signature"], told["provenance"], told["sbom"])
    assert told_beside == ("none", "provenance.intoto.json", "sbom.cdx.json")
    assert [entry["variant"] for entry in told["files"]] == [
        v.name for v in Bundle.open(bundle).manifest.variants
    ]
    for entry in told["files"]:
        path = bundle / Path(entry["file"]).name
        assert json.loads(run("inspect", path, "--json")[1]).items() <= {**entry}.items()
        assert (entry["macs"], entry["operators_of_unknown_macs"]) == (203_264, 0)
        assert sum(layer["stored_bytes"] for layer in entry["layers"]) <= entry["bytes"]
        assert entry["contract"]["variant"] == entry["variant"]


def test_inspect_bundle_shows_what_is_in_each_file(run: Run, bundle: Path) -> None:
    out = run("inspect", bundle)[1]
    for name in ("tflite-int8.tflite", "onnx-float32.onnx"):
        (row,) = [line for line in out.splitlines() if line.strip().startswith(name)]
        assert "203,264" in row


@pytest.mark.parametrize("form", [["--json"], []])
def test_inspect_file_whose_graph_is_damaged_is_one_line(
    refused: Refused, bundle: Path, tmp_path: Path, form: list[str]
) -> None:
    path = tmp_path / "a.tflite"
    raw = (bundle / "tflite-int8.tflite").read_bytes().replace(b"edgewright", b"someoneels")
    path.write_bytes(raw[: len(raw) // 2])
    assert "a.tflite is damaged" in refused("inspect", path, *form)
