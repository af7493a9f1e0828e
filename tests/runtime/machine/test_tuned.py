"""What was tuned is taken where it fits, and not believed where it does not."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.export.exporter import Result
from edgewright.runtime import backends, load
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import InputError, OutputError, UnknownNameError
from edgewright.runtime.machine import tuned
from edgewright.runtime.machine.tuned import Choice, Tuned

Run = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def kept(exported: tuple[Path, Result], cache: Path) -> Path:
    """A record that says onnx-float32 runs fastest, on two threads, and tflite-float32 if bf16 is allowed."""
    engine = "openvino" if backends.get("openvino").available() else "ort"
    exact = Choice(variant="onnx-float32", engine=engine, threads=2, value=2e6, low=1e6, high=3e6)
    reduced = dataclasses.replace(exact, variant="tflite-float32", engine="litert", threads=1)
    record = Tuned(
        name="fashion-mlp",
        folder=str(exported[0]),
        purpose="latency",
        choices={"exact": exact, "bf16": reduced},
        versions=tuned.installed(),
    )
    tuned.remember(Bundle.open(exported[0]).sha256, record)
    assert tuned.recall(Bundle.open(exported[0]).sha256) == record
    (entry,) = (cache / "tuned").iterdir()
    return entry


def taken(folder: Path, **given: Any) -> tuple[str, int]:
    with load(folder, engine="fastest", **given) as predictor:
        assert predictor.choice is not None
        assert predictor.contract.variant == predictor.choice.variant
        return predictor.contract.variant, predictor.choice.threads


@pytest.mark.usefixtures("kept")
def test_load_fastest_takes_what_was_remembered_and_fewer_bits_only_where_they_may_be(
    exported: tuple[Path, Result], picture: Path
) -> None:
    assert taken(exported[0]) == ("onnx-float32", 2)
    assert taken(exported[0], may="bf16") == ("tflite-float32", 1)
    assert taken(exported[0], may="f16") == ("onnx-float32", 2)  # none passed in it
    with load(exported[0], engine="fastest") as predictor, load(exported[0]) as plain:
        assert predictor.predict(picture)[0].label == plain.predict(picture)[0].label == "Ankle boot"
    with pytest.raises(UnknownNameError, match="did you mean 'bf16'"):
        load(exported[0], engine="fastest", may="bf61")


@pytest.mark.usefixtures("cache")
def test_load_fastest_of_what_was_never_tuned_says_what_to_run(
    exported: tuple[Path, Result], picture: Path, refused: Refused
) -> None:
    said = refused("predict", exported[0], picture, "--engine", "fastest")
    assert said.rstrip().endswith(f"got no record of it; run: edgewright tune {exported[0]}")
    with pytest.raises(InputError, match="a bundle folder with engine='fastest'"):
        load(exported[0] / "onnx-int8.onnx", engine="fastest")


@pytest.mark.usefixtures("kept")
def test_load_fastest_after_an_interpreter_was_exchanged_says_which(
    exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tuned.installed()
    monkeypatch.setattr(tuned, "installed", lambda: real | {"ort": "onnxruntime-99.0"})
    with pytest.raises(
        InputError, match=r"got onnxruntime-99.0 where onnxruntime-.* was measured; run: edge"
    ):
        load(exported[0], engine="fastest")
    monkeypatch.setattr(tuned, "installed", lambda: real | {"litert": None})
    with pytest.raises(InputError, match="got no litert where ai_edge_litert"):
        load(exported[0], engine="fastest")


def test_load_fastest_of_a_changed_bundle_or_another_machine_knows_nothing(
    kept: Path, bundle: Path, rewrite: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert taken(bundle) == ("onnx-float32", 2)  # a copy is the same bundle
    monkeypatch.setattr(tuned, "cores", lambda: 99)
    with pytest.raises(InputError, match="edgewright tune"):
        load(bundle, engine="fastest")
    monkeypatch.undo()
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(kept.parent.parent))
    rewrite(bundle, name="another")
    with pytest.raises(InputError, match="edgewright tune"):
        load(bundle, engine="fastest")


@pytest.mark.parametrize("harm", ["entry", "folder", "cache", "link"])
def test_load_fastest_believes_no_record_that_others_can_write(
    kept: Path, exported: tuple[Path, Result], harm: str
) -> None:
    if harm == "entry":
        kept.chmod(0o666)
    elif harm == "link":
        kept.rename(kept.with_name("elsewhere"))
        kept.symlink_to(kept.with_name("elsewhere"))
    else:
        (kept.parent if harm == "folder" else kept.parent.parent).chmod(0o777)
    with pytest.raises(InputError, match=r"no record of it|no other can write, got mode 777"):
        load(exported[0], engine="fastest")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_load_fastest_believes_no_record_of_another_user(kept: Path, exported: tuple[Path, Result]) -> None:
    os.chown(kept, 12345, 12345)
    with pytest.raises(InputError, match="no record of it"):
        load(exported[0], engine="fastest")


@pytest.mark.parametrize(
    "change",
    [
        {"choices": {}},
        {"choices": {"f8": {}}},
        {"purpose": "beauty"},
        {"schema_version": 99},
        {"versions": []},
        {"choices": {"exact": {"variant": "onnx-int8", "engine": "ort", "threads": 0}}},
    ],
)
def test_tuned_record_that_makes_no_sense_is_none(
    kept: Path, exported: tuple[Path, Result], change: dict[str, Any]
) -> None:
    kept.write_text(json.dumps(json.loads(kept.read_text()) | change))
    assert tuned.recall(Bundle.open(exported[0]).sha256) is None
    kept.write_bytes(b"\xff{")
    assert list(tuned.every()) == []


def test_tuned_record_of_an_engine_that_there_is_not_is_one_line(
    kept: Path, exported: tuple[Path, Result], picture: Path, refused: Refused
) -> None:
    told = json.loads(kept.read_text())
    told["choices"]["exact"]["engine"] = "../../engine"
    kept.write_text(json.dumps(told))
    assert "unknown backend" in refused("predict", exported[0], picture, "--engine", "fastest")


def test_tuned_remember_says_where_it_cannot_be_kept(kept: Path, exported: tuple[Path, Result]) -> None:
    (record,) = tuned.every()
    kept.parent.parent.chmod(0o777)
    with pytest.raises(OutputError, match="set EDGEWRIGHT_CACHE"):
        tuned.remember("0" * 64, record)


@pytest.mark.usefixtures("kept")
def test_predict_and_doctor_show_what_was_tuned(
    exported: tuple[Path, Result], picture: Path, run: Run
) -> None:
    status, out, err = run("predict", exported[0], picture, "--engine", "fastest", "--may", "bf16")
    assert (status, err) == (0, "edgewright: fastest here: tflite-float32 on litert, threads: 1\n")
    assert "Ankle boot" in out
    notes = json.loads(run("doctor", "--json")[1])["notes"]
    assert any(
        note.startswith("fashion-mlp tuned for latency: onnx-float32 on ") and note.endswith(str(exported[0]))
        for note in notes
    )
