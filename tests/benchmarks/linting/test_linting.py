"""What `lint` says of a file: a row an engine, by running it; what stands in the way by its Keras layer."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks import linting
from edgewright.benchmarks.agreement import EngineError, NotAskedError, in_openvino
from edgewright.benchmarks.linting import (
    Answer,
    Blamed,
    Linted,
    coreml,
    ethos_u,
    gpu,
    lint,
    litert_js,
    micro,
    onnxruntime_web,
    openvino,
    xnnpack,
)
from edgewright.benchmarks.targets.browser import asking, chromium
from edgewright.runtime import plugins
from edgewright.runtime.backends.litert.tree import read, write
from edgewright.runtime.disk import files
from edgewright.runtime.errors import InputError, TargetError
from tests.benchmarks.agreement.planted import SIDE, Planted, Writer, net, refusing, without_stride

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A .tflite that carries no contract."""
    path = tmp_path / "net.tflite"
    path.write_bytes(net())
    return path


def only(monkeypatch: pytest.MonkeyPatch, *engines: Any) -> None:
    monkeypatch.setattr(linting, "linters", lambda: list(engines))


def answers(path: Path) -> dict[str, Answer]:
    (found,) = lint(path)
    return {answer.engine: answer for answer in found.answers}


def on_gpu(monkeypatch: pytest.MonkeyPatch, engine: Any) -> None:
    """The GPU's row is answered by another engine, and no driver is set up."""
    from edgewright.benchmarks.targets.gpu import vulkan

    monkeypatch.setattr(gpu, "ENGINE", engine)
    monkeypatch.setattr(vulkan, "ready", lambda say: None)
    only(monkeypatch, gpu.LINTER)


def test_all_engines_are_asked_in_an_order_that_does_not_change() -> None:
    found = [linter.title for linter in linting.linters()]
    assert found[0] in ("LiteRT CPU, XNNPACK", "onnxruntime CPU")
    assert found[-1] == "Core ML delegate"
    assert len(found) == len(set(found)) >= 6


@pytest.mark.skipif(not plugins.installed("tflite_micro"), reason="tflite-micro is not installed")
def test_a_file_of_anyone_is_run_and_answered_in_a_row_an_engine(
    stranger: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, xnnpack.LINTER, ethos_u.LINTER, micro.LINTER, coreml.LINTER)
    status, said, complaints = run("lint", stranger, "--json")
    assert (status, complaints) == (0, "")
    (file,) = json.loads(said)["files"]
    assert (file["file"], file["variant"]) == (str(stranger), None)
    assert file["notes"] == ["there are no pictures of it: it ran on noise, 0 to 255"]
    rows = {row["engine"]: row for row in file["engines"]}
    cpu = rows["LiteRT CPU, XNNPACK"]
    assert (cpu["runs"], cpu["right"]) == (True, "right")
    assert 0.5 < cpu["share"] < 1
    assert {"operator": "QUANTIZE", "layer": "before conv2d", "why": ""} in cpu["operators"]
    assert cpu["remedy"].startswith("nothing: ")  # the convolutions are not among them
    npu = rows["Ethos-U55-128 (vela)"]
    assert (npu["runs"], npu["right"], npu["share"], npu["operators"]) == (True, None, 1.0, [])
    tflm = rows["TensorFlow Lite Micro"]
    assert (tflm["runs"], tflm["right"], tflm["share"], tflm["operators"]) == (True, "right", 1.0, [])
    assert tflm["note"].startswith("arena of ")
    apple = rows["Core ML delegate"]
    assert (apple["runs"], apple["share"]) == (None, 0.0)
    assert "read 2026-" in apple["note"]
    assert "https://" in apple["note"]
    assert "float" in apple["remedy"]


def test_the_table_says_it_in_words(stranger: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, xnnpack.LINTER, coreml.LINTER)
    status, said, complaints = run("lint", stranger)
    assert (status, complaints) == (0, "")
    assert "engine" in said.splitlines()[2]
    line = next(one for one in said.splitlines() if one.strip().startswith("LiteRT CPU, XNNPACK"))
    assert line.split()[3:5] == ["yes", "yes"]
    assert "ran on noise" in said


def test_what_a_gpu_computes_wrongly_is_named_with_what_to_do(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(Planted):
        def open(self, raw: bytes) -> Any:
            running = super().open(raw)
            running.whole = True  # as it claims
            return running

    on_gpu(monkeypatch, Wrong(fault=without_stride, layer="conv2d_2"))
    found = answers(stranger)["LiteRT GPU"]
    assert (found.runs, found.verdict, found.share) == (True, "wrong", 1.0)
    assert found.blamed == (Blamed(operator="CONV_2D", layer="conv2d_2"),)
    assert "export the model again" in found.remedy


def test_an_engine_that_dies_is_a_row_with_the_layer_it_dies_of(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu(monkeypatch, Planted(fault=refusing, layer="conv2d_4"))
    found = answers(stranger)["LiteRT GPU"]
    assert (found.runs, found.verdict, found.share) == (False, "", None)
    assert [(one.operator, one.layer) for one in found.blamed] == [("CONV_2D", "conv2d_4")]
    assert "no kernel for operator" in found.note
    assert found.remedy


@pytest.mark.skipif(not plugins.installed("tflite_micro"), reason="tflite-micro is not installed")
def test_each_layer_that_an_engine_lacks_an_operator_for_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = Writer()
    front = w.tensor("pixels", (1, SIDE, SIDE, 3), [1 / 255], -128)
    pixels = front
    for name in ("gelu", "gelu_2"):
        shaped = w.tensor(f"net_1/{name}_1/Gelu", (1, SIDE, SIDE, 3), [1 / 255], -128)
        front = w.operator("GELU", [front], shaped)
    w.graph.inputs, w.graph.outputs = np.array([pixels], np.int32), np.array([front], np.int32)
    path = tmp_path / "gelu.tflite"
    path.write_bytes(w.bytes())
    only(monkeypatch, micro.LINTER)
    found = answers(path)["TensorFlow Lite Micro"]
    assert (found.runs, found.verdict) == (False, "")
    assert [(one.operator, one.layer) for one in found.blamed] == [("GELU", "gelu"), ("GELU", "gelu_2")]
    assert found.remedy == "write the layers in operators that it has"


def test_a_file_of_any_batch_that_a_gpu_refuses_is_to_be_fixed(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Static(Planted):
        def open(self, raw: bytes) -> Any:
            if raw == stranger.read_bytes():
                raise EngineError("only static shapes")
            return super().open(raw)

    tree = read(stranger.read_bytes())
    tree.subgraphs[0].tensors[0].shapeSignature = np.array([-1, SIDE, SIDE, 3], np.int32)
    stranger.write_bytes(write(tree))
    on_gpu(monkeypatch, Static())
    found = answers(stranger)["LiteRT GPU"]
    assert (found.runs, found.blamed) == (False, ())
    assert "batch_shape=(1, ...)" in found.remedy


def test_what_vela_stumbles_over_is_named_by_layer() -> None:
    said = "Compilation failed: Error: HARD_SWISH 'Net_1/act_1/mul;Net_1/act_1/add' Does not have semantics"
    assert ethos_u._named(said) == (Blamed(operator="HARD_SWISH", layer="act"),)
    assert ethos_u._named("it crashed") == ()


def test_what_is_not_installed_says_how_to_get_it(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "installed", lambda module: False)
    only(monkeypatch, ethos_u.LINTER, micro.LINTER, openvino.LINTER)
    found = answers(stranger)
    assert [answer.runs for answer in found.values()] == [None, None, None]
    assert "pip install 'edgewright[ethos-u]'" in found["Ethos-U"].remedy
    assert "pip install 'edgewright[micro]'" in found["TensorFlow Lite Micro"].remedy
    assert "pip install 'edgewright[openvino]'" in found["OpenVINO CPU"].remedy


def in_browser(monkeypatch: pytest.MonkeyPatch, engine: Any) -> None:
    """The browser's rows are answered by another engine, and no browser is started."""

    @contextlib.contextmanager
    def started(format: str, say: Any) -> Iterator[Any]:  # noqa: A002
        yield engine

    monkeypatch.setattr(asking, "engine", started)
    monkeypatch.setattr(asking, "missing", lambda: "")
    only(monkeypatch, litert_js.LINTER, onnxruntime_web.LINTER)


def test_what_a_browser_does_not_take_is_named_with_what_to_do(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_browser(monkeypatch, Planted())
    found = answers(stranger)
    assert list(found) == ["LiteRT.js"]
    right = found["LiteRT.js"]
    assert (right.runs, right.verdict, right.share, right.blamed) == (True, "right", None, ())
    in_browser(monkeypatch, Planted(fault=refusing, layer="conv2d_4"))
    dead = answers(stranger)["LiteRT.js"]
    assert (dead.runs, [one.layer for one in dead.blamed]) == (False, ["conv2d_4"])
    assert dead.remedy == "write the layer in other operators"


def test_operator_that_a_browser_names_itself_is_told_by_its_layer(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bytes(Planted):  # of parts it cannot be asked, as their tensors are of 8 bits
        def open(self, raw: bytes) -> Any:
            if raw != stranger.read_bytes():
                raise NotAskedError("no tensors of int8")
            raise EngineError("Node number 1 (CONV_2D) failed to prepare.")

    in_browser(monkeypatch, Bytes())
    found = answers(stranger)["LiteRT.js"]
    assert (found.runs, found.blamed[0].operator, found.blamed[0].layer) == (False, "CONV_2D", "conv2d")
    said = "Could not find an implementation for Gemm(13) node with name ''"
    assert onnxruntime_web._LACKED.findall(said) == ["Gemm"]
    said = "Fatal error: com.example:Mystery(-1) is not a registered function/op"
    assert onnxruntime_web._LACKED.findall(said) == ["Mystery"]


def test_browser_that_is_not_there_says_how_to_get_it(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, litert_js.LINTER)
    monkeypatch.setattr(
        chromium, "missing", lambda: "Chromium for --headless, on PATH (install chromium), or"
    )
    monkeypatch.setattr(asking.assets, "missing", lambda: "")
    found = answers(stranger)["LiteRT.js"]
    assert (found.runs, found.remedy) == (
        None,
        "not tried, as this needs Chromium on PATH (install chromium)",
    )
    monkeypatch.setattr(asking.assets, "missing", lambda: "npm (install nodejs and npm)")
    assert "npm (install nodejs" in answers(stranger)["LiteRT.js"].remedy


@pytest.mark.slow
@pytest.mark.skipif(bool(chromium.missing()), reason="there is no Chromium on the PATH")
def test_files_are_run_in_a_browser(
    stranger: Path, bundle: Path, engines_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(engines_cache / "targets", files.cache_folder() / "targets")
    only(monkeypatch, litert_js.LINTER, onnxruntime_web.LINTER)
    found = answers(stranger)["LiteRT.js"]
    assert (found.runs, found.verdict, found.note) == (True, "right", "")
    for name in ("tflite-int8.tflite", "onnx-int8.onnx", "onnx-float32.onnx"):
        shutil.copy(bundle / name, stranger.with_name(name))
        (one,) = answers(stranger.with_name(name)).values()
        assert (one.runs, one.verdict) == (True, "right"), (name, one)
    tree = read(stranger.read_bytes())
    code = next(c for c in tree.operatorCodes if c.customCode is None)
    code.deprecatedBuiltinCode, code.builtinCode, code.customCode = 32, 32, b"Mystery"
    stranger.write_bytes(write(tree))
    dead = answers(stranger)["LiteRT.js"]
    assert (dead.runs, dead.remedy) in ((False, "write the layer in other operators"), (None, ""))


@pytest.mark.skipif(not plugins.installed("openvino"), reason="OpenVINO is not installed")
def test_openvino_runs_the_file_and_is_held_against_the_cpu(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, openvino.LINTER)
    found = answers(stranger)["OpenVINO CPU"]
    assert (found.runs, found.share) == (True, 1.0)
    assert found.verdict in ("right", "differs")

    def other(*unused: object, **also: object) -> Any:
        return SimpleNamespace(run=lambda pixels: np.full((1, 5), 1e3, np.float32), close=lambda: None)

    @contextlib.contextmanager
    def faulty() -> Iterator[Any]:
        yield Planted(fault=without_stride, layer="conv2d_2")

    monkeypatch.setattr("edgewright.runtime.trust.isolated", other)
    monkeypatch.setattr(in_openvino, "engine", faulty)
    wrong = answers(stranger)["OpenVINO CPU"]
    assert (wrong.runs, wrong.verdict) == (True, "wrong")
    assert wrong.blamed == (Blamed(operator="CONV_2D", layer="conv2d_2"),)
    assert wrong.remedy


@pytest.mark.parametrize("failure", [EngineError("it says nothing"), TargetError("no driver")])
def test_an_engine_that_cannot_be_asked_is_a_row_too(
    stranger: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    class Broken:
        title, place, suffixes = "Broken", 0, (".tflite",)

        def missing(self) -> str:
            return ""

        def lint(self, subject: Any, say: Any) -> Sequence[Answer]:
            raise failure

    only(monkeypatch, Broken(), coreml.LINTER)
    found = answers(stranger)
    assert (found["Broken"].runs, found["Broken"].note) == (None, str(failure))
    assert "Core ML delegate" in found


def test_what_cannot_be_linted_is_refused_in_a_line(stranger: Path, run: Run, tmp_path: Path) -> None:
    tree = read(stranger.read_bytes())
    tree.subgraphs[0].inputs = np.array([0, 0], np.int32)
    two = tmp_path / "two.tflite"
    two.write_bytes(write(tree))
    (tmp_path / "bad.tflite").write_bytes(b"no model")
    for path, why in (
        (two, "expected a model of one input, got 2 inputs"),
        (tmp_path / "bad.tflite", "expected a TFLite model"),
        (tmp_path / "none.tflite", "which does not exist"),
        (tmp_path, "manifest"),
    ):
        status, said, complaints = run("lint", path)
        assert (status, said, complaints.count("\n")) == (1, "", 1)
        assert why in complaints
    with pytest.raises(InputError, match="two"):
        list(lint(two))


def test_each_file_of_a_bundle_is_linted_on_its_own_pictures(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("onnxruntime-cpu", "coreml")
    only(monkeypatch, *(plugins.get(linting.__name__, name, "LINTER") for name in names))
    found = {one.variant: one for one in lint(bundle)}
    assert {"tflite-float32", "tflite-int8", "onnx-float32", "onnx-int8"} <= set(found)
    assert all(one.notes == () for one in found.values())
    (ort,) = found["onnx-int8"].answers
    assert (ort.engine, ort.runs) == ("onnxruntime CPU", True)
    (apple,) = found["tflite-float32"].answers
    assert apple.share is not None
    assert 0 < apple.share < 1
    assert next(str(one) for one in apple.blamed).startswith("CAST (before ")


def test_json_holds_what_a_row_holds() -> None:
    answer = Answer(
        engine="E",
        runs=True,
        verdict="wrong",
        share=0.5,
        blamed=(Blamed(operator="A", layer="l"),),
        remedy="r",
    )
    told = Linted(file=Path("a.tflite"), answers=(answer,)).to_json()
    assert told == json.loads(json.dumps(told))
    assert told["engines"] == [
        {
            "engine": "E",
            "runs": True,
            "right": "wrong",
            "share": 0.5,
            "operators": [{"operator": "A", "layer": "l", "why": ""}],
            "remedy": "r",
            "note": "",
        }
    ]
