"""`edgewright verify`: exit 0 only if what ran here gives what it gave where it was made."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.runtime.bundle.manifest import (
    EVIDENCE,
    GOLDEN,
    MANIFEST,
    PROVENANCE,
    SBOM,
    Bundle,
    FileEntry,
    Manifest,
)
from edgewright.runtime.contract import ZERO_HASH, stamp
from edgewright.runtime.verification import read_golden

Run = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]
Rewrite = Callable[..., Manifest]
Fresh = Callable[..., Any]

TENSORFLOW = ("tensorflow", "keras", "tf_keras", "onnx")


def verdicts(out: str) -> dict[str, str]:
    """Variant and verdict of each row of the table."""
    words = [line.split() for line in out.splitlines()]
    known = ("ok", "failed", "not")
    return {
        w[0]: next(x for x in w if x in known) for w in words if w and w[0].startswith(("tflite-", "onnx-"))
    }


def test_verify_every_variant_of_a_fresh_bundle_is_ok(run: Run, bundle: Path) -> None:
    status, out, err = run("verify", bundle)
    assert (status, err) == (0, "")
    assert set(verdicts(out).values()) == {"ok"}
    assert len(verdicts(out)) == 6


def test_verify_changed_golden_output_fails_and_the_variant_is_named(
    run: Run, bundle: Path, rewrite: Rewrite
) -> None:
    golden = dict(read_golden(Bundle.open(bundle)))
    golden["onnx-float32"][0, 0] += 0.01
    memory = io.BytesIO()
    np.savez_compressed(memory, allow_pickle=False, **golden)
    (bundle / GOLDEN).write_bytes(memory.getvalue())
    rewrite(bundle, golden=FileEntry.of(bundle / GOLDEN))
    status, out, err = run("verify", bundle)
    assert status == 1
    assert [name for name, verdict in verdicts(out).items() if verdict != "ok"] == ["onnx-float32"]
    assert "scores differ by 0.01" in out
    assert err == "edgewright: onnx-float32 does not give here what it gave where it was made\n"


@pytest.mark.parametrize(
    "name", [MANIFEST, GOLDEN, EVIDENCE, PROVENANCE, SBOM, "tflite-float16.tflite", "onnx-int8.onnx"]
)
def test_verify_bundle_with_one_byte_changed_is_refused_by_the_name_of_the_file(
    refused: Refused, bundle: Path, name: str
) -> None:
    raw = bytearray((bundle / name).read_bytes())
    raw[len(raw) // 3] ^= 4
    (bundle / name).write_bytes(raw)
    assert name in refused("verify", bundle)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [("schema_version", 2, "newer edgewright"), ("file", "../outside.tflite", "plain name of a file")],
)
def test_verify_manifest_from_the_future_or_that_climbs_out_is_refused(
    refused: Refused, bundle: Path, key: str, value: Any, reason: str
) -> None:
    data = json.loads((bundle / MANIFEST).read_bytes()) | {"sha256": ZERO_HASH}
    (data["variants"][0] if key == "file" else data)[key] = value
    (bundle / MANIFEST).write_bytes(stamp(json.dumps(data).encode()))
    assert reason in refused("verify", bundle)


def test_verify_what_is_no_bundle_is_refused(refused: Refused, bundle: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path, bundle / MANIFEST):
        assert "expected a bundle" in refused("verify", path)


def test_verify_a_lone_file_against_its_bundle_or_golden_images(
    run: Run, refused: Refused, bundle: Path, tmp_path: Path
) -> None:
    status, out, err = run("verify", bundle / "tflite-int8.tflite")
    assert (status, err, verdicts(out)) == (0, "", {"tflite-int8": "ok"})
    lone = Path(shutil.copy(bundle / "onnx-float32.onnx", tmp_path / "phone.onnx"))
    assert "--bundle FOLDER" in refused("verify", lone)
    for words in (("--bundle", bundle), ("--golden", bundle / GOLDEN)):
        status, out, err = run("verify", lone, *words)
        assert (status, err, verdicts(out)) == (0, "", {"onnx-float32": "ok"})
    assert "expected a bundle or golden images" in refused(
        "verify", lone, "--bundle", bundle, "--golden", lone
    )
    assert "expected a lone model file" in refused("verify", bundle, "--golden", bundle / GOLDEN)
    assert "cannot read" in refused("verify", lone, "--golden", tmp_path / "none.npz")
    assert "expected arrays" in refused("verify", lone, "--golden", lone)


def test_verify_a_lone_file_that_gives_something_else_fails(
    run: Run, refused: Refused, bundle: Path, tmp_path: Path
) -> None:
    golden = dict(read_golden(Bundle.open(bundle)))
    lone = Path(shutil.copy(bundle / "tflite-int8.tflite", tmp_path / "phone.tflite"))
    for change, reason in (
        ({name: golden[name] + np.float32(0.5) for name in ("tflite-int8", "keras")}, "scores differ by 0.5"),
        ({name: golden[name][::-1] for name in ("tflite-int8", "keras")}, "scores differ by"),
    ):
        np.savez(tmp_path / "golden.npz", **(golden | change))
        status, out, err = run("verify", lone, "--golden", tmp_path / "golden.npz")
        assert (status, verdicts(out)) == (1, {"tflite-int8": "failed"})
        assert reason in out and "does not give here" in err
    changed = golden | {"keras": 1 - golden["tflite-int8"], "tflite-int8": golden["tflite-int8"][:, ::-1]}
    np.savez(tmp_path / "golden.npz", **changed)
    status, out, _ = run("verify", lone, "--golden", tmp_path / "golden.npz")
    assert (status, "another top class on 16 of 16 images" in out) == (1, True)
    del golden["tflite-int8"]
    np.savez(tmp_path / "golden.npz", **golden)
    assert "expected the scores of tflite-int8" in refused(
        "verify", lone, "--golden", tmp_path / "golden.npz"
    )
    raw = bytearray(lone.read_bytes())
    raw[len(raw) // 3] ^= 4
    lone.write_bytes(bytes(raw))
    assert "is damaged" in refused("verify", lone, "--bundle", bundle)
    lone.write_bytes((bundle / "tflite-int8.tflite").read_bytes().replace(b"edgewright", b"someoneels"))
    assert "carries no contract" in refused("verify", lone, "--bundle", bundle)


def test_verify_on_a_device_without_tensorflow(fresh: Fresh, bundle: Path) -> None:
    done = fresh("verify", bundle, blocked=[*TENSORFLOW, "rich"])
    assert (done.returncode, done.stderr) == (0, "")
    assert list(verdicts(done.stdout).values()) == ["ok"] * 6


@pytest.mark.parametrize(
    ("missing", "extra", "left"), [("ai_edge_litert", "tflite", "onnx-"), ("onnxruntime", "onnx", "tflite-")]
)
def test_verify_does_not_run_what_a_missing_backend_would_run_and_names_the_pip_command(
    fresh: Fresh, bundle: Path, missing: str, extra: str, left: str
) -> None:
    done = fresh("verify", bundle, blocked=[missing])
    assert (done.returncode, done.stderr) == (0, "")
    found = verdicts(done.stdout)
    assert len(found) == 6
    assert {name for name, verdict in found.items() if verdict == "ok"} == {
        n for n in found if n.startswith(left)
    }
    for line in done.stdout.splitlines():
        assert ("not run" in line) == (f"pip install 'edgewright[{extra}]'" in line)


def test_verify_where_nothing_can_run_proves_nothing(fresh: Fresh, bundle: Path) -> None:
    done = fresh("verify", bundle, blocked=["ai_edge_litert", "onnxruntime"])
    assert done.returncode == 1
    assert set(verdicts(done.stdout).values()) == {"not"}
    assert done.stderr.startswith("edgewright: nothing could be run; pip install 'edgewright[")
    assert done.stderr.count("\n") == 1
