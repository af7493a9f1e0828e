"""OpenVINO gives what a file's own interpreter gives, here and apart, and only where it is asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export.exporter import Result
from edgewright.runtime import backends, load, trust
from edgewright.runtime.backends import Session
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import (
    EdgewrightError,
    InputError,
    MissingExtraError,
    ModelFileError,
    UnknownNameError,
)
from edgewright.runtime.trust.isolation import IsolatedSession
from edgewright.runtime.verification import GOLDEN_INPUTS, judge, read_golden

FILES = ["tflite-float32.tflite", "tflite-int8.tflite", "onnx-float32.onnx", "onnx-int8.onnx"]
each_file = pytest.mark.parametrize("file", FILES)
if_there = pytest.mark.skipif(not backends.get("openvino").available(), reason="OpenVINO is not installed")


def opened(path: Path, engine: str = "openvino", threads: int = 1) -> Session:
    backend = backends.get(engine)
    return backend.open(backend.read(path), threads)


@if_there
@each_file
def test_openvino_gives_the_golden_scores_of_both_formats(exported: tuple[Path, Result], file: str) -> None:
    bundle = Bundle.open(exported[0])
    entry, golden = bundle.variant(file.partition(".")[0]), read_golden(bundle)
    with load(exported[0] / file, engine="openvino") as predictor:
        scores = np.concatenate([predictor.scores(image[None]) for image in golden[GOLDEN_INPUTS]])
        found = judge(entry, "openvino-cpu-f32", scores, golden[entry.name], predictor.head)
    assert found.status == "ok", found
    assert scores.dtype == np.float32


@if_there
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("file", FILES[:1] + FILES[-1:])
def test_openvino_apart_has_the_kernels_and_bits_of_a_session_here(
    exported: tuple[Path, Result], file: str, threads: int
) -> None:
    path, random = exported[0] / file, np.random.default_rng(0)
    here = opened(path, threads=threads)
    there = IsolatedSession(backends.get("openvino").read(path), threads, "openvino")
    try:
        assert there.kernels == here.kernels == "openvino-cpu-f32"
        for _ in range(5):
            pixels = random.integers(0, 256, (1, 28, 28, 1), np.uint8)
            assert there.run(pixels).tobytes() == here.run(pixels).tobytes()
    finally:
        there.close()


@if_there
def test_openvino_opens_the_bytes_that_were_read_and_not_what_lies_there_now(
    exported: tuple[Path, Result], tmp_path: Path
) -> None:
    path = Path(shutil.copyfile(exported[0] / FILES[0], tmp_path / FILES[0]))
    backend = backends.get("openvino")
    file = backend.read(path)
    path.write_bytes(b"something else")
    assert backend.open(file, 1).run(np.zeros((1, 28, 28, 1), np.uint8)).shape == (1, 10)


@if_there
def test_openvino_scores_are_the_callers_to_keep_and_wrong_pixels_refused(
    exported: tuple[Path, Result],
) -> None:
    session = opened(exported[0] / FILES[0])
    first = session.run(np.zeros((1, 28, 28, 1), np.uint8))
    kept = first.copy()
    session.run(np.full((1, 28, 28, 1), 255, np.uint8))
    assert np.array_equal(first, kept)
    for wrong in (np.zeros((1, 28, 28, 3), np.uint8), np.zeros((1, 28, 28, 1), np.float32), "pixels"):
        with pytest.raises(InputError, match="expected uint8 pixels"):
            session.run(wrong)  # type: ignore[arg-type]


@if_there
def test_openvino_takes_any_number_of_images_where_the_file_does(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("GlobalAveragePool", ["x"], ["y"])
    flat = onnx.helper.make_node("Flatten", ["y"], ["s"])
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node, flat],
        "g",
        [onnx.helper.make_tensor_value_info("x", kind, ("n", 2, 2, 1))],
        [onnx.helper.make_tensor_value_info("s", kind, ("n", 2))],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "free.onnx")
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    found = opened(tmp_path / "free.onnx").run(pixels)
    assert np.allclose(found, pixels.mean((2, 3)))


@if_there
@each_file
def test_openvino_refuses_a_graph_it_cannot_make_sense_of_in_one_line(
    exported: tuple[Path, Result], file: str
) -> None:
    import dataclasses

    backend = backends.get("openvino")
    whole = backend.read(exported[0] / file)
    nonsense = dataclasses.replace(whole, raw=whole.raw[: len(whole.raw) // 2])
    with pytest.raises(ModelFileError, match="OpenVINO cannot load") as caught:
        backend.open(nonsense, threads=1)
    assert "\n" not in str(caught.value)


@if_there
def test_openvino_is_imported_without_its_telemetry(
    exported: tuple[Path, Result], tmp_path: Path, fresh: Callable[..., Any]
) -> None:
    spy = tmp_path / "openvino_telemetry"
    spy.mkdir()
    (spy / "__init__.py").write_text("import os\nos._exit(7)\n")
    code = """
sys.path.insert(0, sys.argv[2])
from edgewright.runtime import load
load(sys.argv[1], engine="openvino")
import openvino
print("openvino_telemetry" in sys.modules)
"""
    trust.remember(exported[0] / FILES[0])
    done = fresh(exported[0] / FILES[0], tmp_path, code=code)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


@if_there
def test_openvino_says_which_devices_there_are_and_what_they_compute_in(
    exported: tuple[Path, Result],
) -> None:
    with pytest.raises(InputError, match=r"a device of OpenVINO's here, .*CPU.*, got 'FPGA'"):
        opened(exported[0] / FILES[0], "openvino:FPGA")
    engines = backends.get("openvino").engines()
    assert engines[0] == ""
    for arithmetic in ("bf16", "f16"):
        if f"@{arithmetic}" in engines:
            session = opened(exported[0] / FILES[0], f"openvino@{arithmetic}")
            assert session.kernels == f"openvino-cpu-{arithmetic}"
        else:
            with pytest.raises(EdgewrightError, match=r"which takes b?f\d+ instead|cannot load"):
                opened(exported[0] / FILES[0], f"openvino@{arithmetic}")


@if_there
def test_openvino_runs_an_unknown_file_apart_and_a_trusted_one_here(
    exported: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))
    path = exported[0] / FILES[0]
    with load(path, engine="openvino") as predictor:
        assert isinstance(predictor.session, IsolatedSession)
    with pytest.raises(ModelFileError, match=r"a trusted file for openvino:GPU, .*: edgewright trust "):
        load(path, engine="openvino:GPU")
    trust.remember(path)
    with load(path, engine="openvino") as predictor:
        assert not isinstance(predictor.session, IsolatedSession)


def test_openvino_is_never_the_default_and_not_even_imported_for_it(
    exported: tuple[Path, Result], picture: Path, fresh: Callable[..., Any]
) -> None:
    code = """
from edgewright.runtime.cli import main
main(sys.argv[1:])
print(*(name for name in sys.modules if "openvino" in name or name.endswith(".tuned")), file=sys.stderr)
"""
    for file in ("onnx-int8.onnx", "tflite-int8.tflite"):
        trust.remember(exported[0] / file)
        done = fresh("predict", exported[0] / file, picture, code=code)
        assert (done.returncode, done.stderr.split()) == (0, []), done.stderr
        assert "Ankle boot" in done.stdout


def test_openvino_missing_says_what_to_install(
    exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backends.get("openvino")
    monkeypatch.setattr(type(backend), "available", lambda _: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'edgewright\[openvino\]'"):
        load(exported[0], engine="openvino")


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"engine": "openvina"}, UnknownNameError, "did you mean 'openvino'"),
        ({"engine": "openvino@f8"}, UnknownNameError, "unknown arithmetic 'f8'"),
        (
            {"engine": "litert:GPU"},
            InputError,
            "ai-edge-litert that there is, on the CPU and exact, got 'GPU'",
        ),
        ({"engine": "ort@bf16"}, InputError, "none of its providers"),
        ({"engine": "ort:TPUExecutionProvider", "variant": "onnx-int8"}, InputError, "CPUExecutionProvider"),
        ({"engine": "ort", "backend": "ort"}, InputError, "a backend or an engine"),
        ({"engine": "ort", "may": "bf16"}, InputError, "engine='fastest'"),
        ({"may": "bf16"}, InputError, "engine='fastest'"),
        ({"engine": "fastest", "variant": "onnx-int8"}, InputError, "leave them out"),
        ({"engine": "fastest", "threads": 2}, InputError, "leave them out"),
    ],
)
def test_load_engine_that_cannot_be_is_refused(
    exported: tuple[Path, Result], given: dict[str, Any], error: type[EdgewrightError], said: str
) -> None:
    with pytest.raises(error, match=said):
        load(exported[0], **given)


def test_ort_on_its_own_cpu_provider_is_the_plain_one(exported: tuple[Path, Result]) -> None:
    assert backends.get("ort:CPUExecutionProvider") is backends.get("ort")
    assert opened(exported[0] / "onnx-int8.onnx", "ort:CPUExecutionProvider").kernels == "onnxruntime-cpu"
