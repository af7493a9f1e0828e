"""A file that is not known is opened elsewhere first; what kills its interpreter kills nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.export.exporter import Result
from edgewright.runtime import backends, load, verify
from edgewright.runtime.disk.files import sha256_of
from edgewright.runtime.errors import InputError, ModelFileError
from edgewright.runtime.machine import child
from edgewright.runtime.trust import isolation
from edgewright.runtime.trust import known as trust
from edgewright.runtime.trust.isolation import IsolatedSession

Refused = Callable[..., str]

each_file = pytest.mark.parametrize("file", ["tflite-int8.tflite", "onnx-int8.onnx"])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were opened in a process of their own."""
    found: list[Path] = []

    class Noting(IsolatedSession):
        def __init__(self, file: backends.ModelFile, threads: int, backend: str | None = None) -> None:
            found.append(file.path)
            super().__init__(file, threads, backend)

    monkeypatch.setattr(isolation, "IsolatedSession", Noting)
    return found


def huge(path: Path) -> Path:
    """A small file that asks for 64 GB when it runs."""
    many = numpy_helper.from_array(np.array([1, 2**34], np.int64), "many")
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Tile", ["real", "many"], ["much"]),
        helper.make_node("ReduceMean", ["much"], ["scores"], axes=[1]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, (1, 1, 1, 1))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 1))],
        [many],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@each_file
def test_trust_ensure_tries_an_unknown_file_out_once(
    exported: tuple[Path, Result], picture: Path, file: str, tried: list[Path], cache: Path
) -> None:
    path = exported[0] / file
    for _ in range(2):
        with load(path) as predictor:
            assert predictor.predict(picture)[0].label == "Ankle boot"
    assert tried == [path]
    assert [entry.name for entry in (cache / "known").iterdir()] == [sha256_of(path)]


def test_trust_remember_or_verify_spares_a_file_the_trial(
    exported: tuple[Path, Result], tried: list[Path]
) -> None:
    trust.remember(exported[0] / "onnx-int8.onnx")
    load(exported[0] / "onnx-int8.onnx").close()
    assert tried == []
    verify(exported[0])
    count = len(tried)
    assert count > 0
    for path in exported[0].glob("*.tflite"):
        load(path).close()
    assert len(tried) == count


def test_trust_lists_only_a_file_that_is_whole(
    exported: tuple[Path, Result], tmp_path: Path, cache: Path
) -> None:
    raw = bytearray((exported[0] / "onnx-int8.onnx").read_bytes())
    raw[len(raw) // 2] ^= 1
    path = tmp_path / "damaged.onnx"
    path.write_bytes(raw)
    file = backends.for_path(path).read(path)
    for listing in (lambda: trust.remember(path), lambda: trust.ensure(backends.for_path(path), file)):
        with pytest.raises(ModelFileError, match="its SHA-256 is not the one it carries"):
            listing()
    assert not trust.is_known(file.sha256)
    assert not (cache / "known").exists()
    with pytest.raises(ModelFileError, match="cannot read"):
        trust.remember(tmp_path / "missing.onnx")


@each_file
def test_trust_known_file_starts_no_process_and_imports_no_subprocess(
    exported: tuple[Path, Result], picture: Path, file: str, fresh: Callable[..., Any]
) -> None:
    trust.remember(exported[0] / file)
    code = """
from edgewright.runtime.cli import main
status = main(sys.argv[1:])
found = ("edgewright.runtime.trust.isolation" in sys.modules, "concurrent.futures" in sys.modules)
print(*found, file=sys.stderr)
"""
    done = fresh("predict", exported[0] / file, picture, code=code)
    assert done.stderr.split()[0] == "False", done.stderr


def test_trust_does_without_a_cache_that_cannot_be_written(
    exported: tuple[Path, Result], cache: Path, tried: list[Path]
) -> None:
    cache.write_text("a file where a folder should be")
    for _ in range(2):
        load(exported[0] / "tflite-int8.tflite").close()
    assert len(tried) == 2
    assert not trust.can_list()


@each_file
def test_load_isolate_predicts_the_same(exported: tuple[Path, Result], picture: Path, file: str) -> None:
    with load(exported[0] / file) as here, load(exported[0] / file, isolate=True) as there:
        assert there.predict(picture) == here.predict(picture)
        assert list(there.predict_many([picture] * 6, workers=2)) == [here.predict(picture)] * 6
        with pytest.raises(InputError, match="expected uint8 pixels"):
            there.scores(np.zeros((1, 2, 2, 1), np.uint8))
        assert there.predict(picture) == here.predict(picture)
        (worker, *_) = there._workers
        process = there.session._child._process  # type: ignore[attr-defined]
    assert process.poll() is not None
    with pytest.raises(InputError, match="is closed"):
        worker.run(np.zeros((1, 28, 28, 1), np.uint8))


@each_file
def test_isolated_session_that_crashes_is_one_line(
    bundle: Path, picture: Path, refused: Refused, file: str, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(isolation, "_COMMAND", ("-c", code))
    line = refused("predict", bundle / file, picture)
    assert f"{file} crashes its interpreter (SIGSEGV); it was not opened here" in line
    assert not (cache / "known").exists()


@pytest.mark.parametrize(
    "answer",
    [
        *(
            "no JSON",
            "[]",
            '{"bytes": -1}',
            '{"bytes": 999999999999}',
            '{"bytes": 0}',
            '{"x": 1}',
            "9" * 2**21,
        ),
        *('{"bytes": 0, "input": 1, "output": 2, "kernels": 3}', '{"bytes": 0, "error": ["odd"]}'),
    ],
    ids=lambda answer: answer[:40],
)
def test_isolated_session_does_not_believe_a_process_that_was_taken_over(
    exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    code = f"import sys; sys.stdin.buffer.readline(); print({answer!r}, flush=True); sys.stdin.buffer.read()"
    monkeypatch.setattr(isolation, "_COMMAND", ("-c", code))
    with pytest.raises(ModelFileError):
        load(exported[0] / "onnx-int8.onnx", isolate=True)


SPEC = {"name": "pixels", "shape": [1, 28, 28, 1], "dtype": "uint8", "scale": 0.0, "zero_point": 0}


def test_isolated_session_that_takes_too_long_is_ended(
    exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "SECONDS", 0.3)
    monkeypatch.setattr(isolation, "_COMMAND", ("-c", "import time; time.sleep(60)"))
    start = time.monotonic()
    with pytest.raises(ModelFileError, match="keeps its interpreter busy for more than"):
        load(exported[0] / "onnx-int8.onnx")
    assert time.monotonic() - start < 10


def test_isolated_session_opening_and_the_first_run_share_their_time(
    exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = {"bytes": 0, "input": SPEC, "output": {**SPEC, "shape": [1, 10]}, "kernels": "none"}
    code = (
        "import sys, time; sys.stdin.buffer.readline(); time.sleep(2.5); "
        f"print({json.dumps(opened)!r}, flush=True); time.sleep(60)"
    )
    monkeypatch.setattr(isolation, "SECONDS", 3.0)
    monkeypatch.setattr(isolation, "_COMMAND", ("-c", code))
    start = time.monotonic()
    with pytest.raises(ModelFileError, match="keeps its interpreter busy for more than 3 s"):
        load(exported[0] / "onnx-int8.onnx")
    assert time.monotonic() - start < 5


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited on Linux only")
def test_isolated_session_that_takes_too_much_memory_is_refused(
    tmp_path: Path, refused: Refused, picture: Path
) -> None:
    path = huge(tmp_path / "huge.onnx")
    labels = tmp_path / "labels.txt"
    labels.write_text("all\n")
    assert "huge.onnx" in refused("predict", path, picture, "--labels", labels)
    with pytest.raises(ModelFileError):
        load(path, labels=["all"], isolate=True)


def test_isolated_session_an_interrupted_run_does_not_answer_the_next_one(
    exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*unused: object) -> None:
        raise KeyboardInterrupt

    with load(exported[0] / "onnx-int8.onnx", isolate=True) as predictor:
        pixels = np.zeros((1, 28, 28, 1), np.uint8)
        predictor.scores(pixels)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(child, "receive", interrupt)
            predictor.scores(pixels)
        with pytest.raises(ModelFileError, match=r"(ends|crashes) its interpreter"):
            predictor.scores(pixels)


def test_isolated_session_says_what_to_do_where_no_process_can_be_started(
    exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    path = exported[0] / "onnx-int8.onnx"
    with pytest.raises(ModelFileError, match=r"cannot start a process .*runtime\.trust\.remember"):
        load(path)
    trust.remember(path)
    load(path).close()


def test_isolated_session_process_ends_with_the_one_that_started_it(exported: tuple[Path, Result]) -> None:
    path = exported[0] / "onnx-int8.onnx"
    session = IsolatedSession(backends.for_path(path).read(path), threads=1)
    process = session._child._process
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=20) == 0
    session.close()


def test_trust_damaged_graph_is_refused_before_any_interpreter_sees_it(
    exported: tuple[Path, Result], tmp_path: Path, tried: list[Path]
) -> None:
    path = Path(shutil.copyfile(exported[0] / "tflite-int8.tflite", tmp_path / "a.tflite"))
    raw = bytearray(path.read_bytes().replace(b"edgewright", b"someoneels"))
    refusals = 0
    for place in range(0, 3000, 7):
        changed = bytearray(raw)
        changed[place] ^= 0x7F
        path.write_bytes(changed)
        with contextlib.suppress(ModelFileError):
            backends.for_path(path).graph(backends.for_path(path).read(path))
            continue
        refusals += 1
        if refusals == 3:
            break
    with pytest.raises(ModelFileError):
        load(path, labels=["a"] * 10)
    assert tried == []
    assert os.listdir(tmp_path) == ["a.tflite"]  # noqa: PTH208
