"""What is true of every backend: hostile files end in ModelFileError, wrong pixels in InputError."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest

from edgewright.export.exporter import Result
from edgewright.runtime import backends
from edgewright.runtime.contract import ModelContract, TensorSpec, stamp
from edgewright.runtime.errors import InputError, ModelFileError

SMALLEST = ["tflite-int8.tflite", "onnx-int8.onnx"]

each_backend = pytest.mark.parametrize("file", SMALLEST)


@pytest.fixture
def path(file: str, exported: tuple[Path, Result], tmp_path: Path) -> Path:
    """A real model file of this test's own."""
    return Path(shutil.copyfile(exported[0] / file, tmp_path / file))


def contract_of(path: Path) -> ModelContract | None:
    """Read everything a file says of itself, as `inspect` does."""
    backend = backends.for_path(path)
    file = backend.read(path)
    assert sum(backend.graph(file).operators().values()) >= 0
    return file.contract()


@each_backend
def test_backend_read_says_the_contract_inputs_and_outputs_of_a_real_file(path: Path) -> None:
    file = backends.for_path(path).read(path)
    contract = file.contract()
    assert contract is not None
    assert contract.variant == path.stem
    assert contract.labels[-1] == "Ankle boot"
    assert [(t.shape, t.dtype) for t in file.inputs] == [((1, 28, 28, 1), "uint8")]
    assert [t.shape for t in file.outputs] == [(1, 10)]


@each_backend
def test_backends_for_path_choose_by_the_suffix_in_any_case(path: Path) -> None:
    louder = path.rename(path.with_suffix(path.suffix.upper()))
    assert louder.suffix in (".TFLITE", ".ONNX")
    assert contract_of(louder) is not None


@pytest.mark.parametrize("name", ["model.pt", "model", ".tflite", "model.tflite.bak", "model.tflite "])
def test_backends_for_path_refuse_another_suffix_with_the_known_ones(name: str) -> None:
    with pytest.raises(ModelFileError, match=r"expected a \.tflite or \.onnx file, got '"):
        backends.for_path(Path(name))


@each_backend
@pytest.mark.parametrize(
    "raw",
    [b"", b"\0", b"hello, I am text\n" * 50, b"\x1c\0\0\0TFL3", b"\x08\x08", b"\xff" * 4096, bytes(4096)],
    ids=["empty", "nul", "text", "TFLite head", "ONNX head", "ones", "zeros"],
)
def test_backend_read_refuses_what_is_no_model_and_names_it(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    with pytest.raises(ModelFileError, match=path.name):
        contract_of(path)


@each_backend
def test_backend_read_refuses_a_file_that_cannot_be_read_and_names_it(path: Path) -> None:
    path.unlink()
    with pytest.raises(ModelFileError, match=rf"cannot read .*{path.name}: No such file"):
        contract_of(path)
    path.mkdir()
    with pytest.raises(ModelFileError, match=rf"expected a file, got .*{path.name}, which is a folder"):
        contract_of(path)


@pytest.mark.slow
@each_backend
def test_backend_read_of_a_file_cut_off_anywhere_never_gives_a_contract(path: Path) -> None:
    """Every length near both ends, where the structure is, and many among the weights."""
    whole = path.stat().st_size
    lengths = {*range(1500), *range(0, whole, 17), *range(whole - 5000, whole)}
    for length in sorted(lengths, reverse=True):
        os.truncate(path, length)
        with contextlib.suppress(ModelFileError):
            assert contract_of(path) is None, length


@pytest.mark.slow
@each_backend
def test_backend_read_of_a_file_with_bytes_changed_never_gives_a_contract(path: Path) -> None:
    """Mostly in the structure at both ends of the file; `read` works or says what is wrong."""
    raw = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(1500):
        low, high = [(0, 1200), (len(raw) - 6000, len(raw)), (0, len(raw))][random.integers(3)]
        damaged = bytearray(raw)
        for place in random.integers(low, high, random.integers(1, 6)):
            damaged[place] ^= random.integers(1, 256)
        path.write_bytes(damaged)
        with contextlib.suppress(ModelFileError):
            assert contract_of(path) is None or damaged == raw


def test_tflite_read_of_a_small_file_of_much_metadata_is_not_kept_busy(tmp_path: Path) -> None:
    """100,000 metadata entries that share one long name: 0.8 MB on disk, 40 GB of names."""
    b = flatbuffers.Builder(1024)

    def table(slots: int, fields: dict[int, int]) -> int:
        b.StartObject(slots)
        for slot, offset in fields.items():
            b.PrependUOffsetTRelativeSlot(slot, offset, 0)
        end: int = b.EndObject()
        return end

    def tables(offset: int, count: int) -> int:
        b.StartVector(4, count, 4)
        for _ in range(count):
            b.PrependUOffsetTRelative(offset)
        end: int = b.EndVector()
        return end

    name = b.CreateString("x" * 400_000)
    entries = tables(table(2, {0: name}), 100_000)
    graphs, buffers = tables(table(5, {}), 1), tables(table(3, {}), 1)
    b.Finish(table(8, {2: graphs, 4: buffers, 6: entries}), file_identifier=b"TFL3")
    path = tmp_path / "busy.tflite"
    path.write_bytes(bytes(b.Output()))
    start = time.process_time()
    with contextlib.suppress(ModelFileError):
        assert contract_of(path) is None
    assert time.process_time() - start < 2


@each_backend
def test_backend_open_refuses_a_contract_that_is_not_the_files_own(path: Path) -> None:
    """The same file, well stamped, under a contract of another input size or number of labels."""
    file = backends.for_path(path).read(path)
    contract = file.contract()
    assert contract is not None
    wrong_input = dataclasses.replace(contract.input, height=32)
    for change in ({"input": wrong_input}, {"labels": contract.labels[1:]}):
        entry = dataclasses.replace(contract, **change).to_bytes()
        raw = stamp(file.raw + entry)
        changed = dataclasses.replace(file, raw=raw, metadata={"edgewright": raw[-len(entry) :]})
        with pytest.raises(ModelFileError, match=r"expected input .* scores by the contract inside"):
            changed.contract()


@each_backend
def test_backend_read_of_a_file_without_a_contract_says_so(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"edgewright", b"someoneels"))
    assert contract_of(path) is None


@each_backend
def test_session_run_refuses_wrong_pixels_with_what_was_expected(path: Path) -> None:
    backend = backends.for_path(path)
    session = backend.open(backend.read(path), threads=1)
    good = np.zeros((1, 28, 28, 1), np.uint8)
    assert session.run(good).shape == (1, 10)
    wrong: list[Any] = [good.astype(np.float32), good[0], good[:, :27], good.tolist(), np.repeat(good, 2, 0)]
    for pixels in wrong:
        with pytest.raises(InputError, match=r"expected uint8 pixels of shape \(1, 28, 28, 1\), got "):
            session.run(pixels)


@each_backend
def test_session_run_scores_are_float32_and_the_callers_to_keep(path: Path) -> None:
    backend = backends.for_path(path)
    session = backend.open(backend.read(path), threads=1)
    first = session.run(np.zeros((1, 28, 28, 1), np.uint8))
    kept = first.copy()
    second = session.run(np.full((1, 28, 28, 1), 255, np.uint8))
    assert first.dtype == second.dtype == np.float32
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted by Linux' /proc")
@each_backend
def test_the_interpreter_has_as_many_threads_as_asked_for(path: Path, fresh: Callable[..., Any]) -> None:
    code = """
import os
import numpy as np
from edgewright.runtime import load

def threads_of(count):
    with load(sys.argv[1], threads=count) as predictor:
        predictor.scores(np.zeros((1, 28, 28, 1), np.uint8))
        return len(os.listdir("/proc/self/task"))

one = threads_of(1)
print(threads_of(3) - one)
"""
    done = fresh(path, code=code)
    assert done.stdout == "2\n", done.stderr


@each_backend
def test_backend_open_of_what_the_interpreter_refuses_is_a_model_file_error(path: Path) -> None:
    """The structure can be read, the graph is nonsense: constants that end too early."""
    backend = backends.for_path(path)
    file = backend.read(path)
    nonsense = dataclasses.replace(file, raw=file.raw[:-1000] + bytes(1000))
    with pytest.raises(ModelFileError, match="cannot load"):
        backend.open(nonsense, threads=1)


class Recorder:
    """A session of a file of this batch and dtype: gives each image's first pixel, twice."""

    kernels = "none"

    def __init__(self, batch: int, dtype: str) -> None:
        self.input = TensorSpec(name="image", shape=(batch, 2, 2, 1), dtype=dtype)
        self.output = TensorSpec(name="scores", shape=(batch, 2), dtype="float32")
        self.seen: list[Any] = []

    def run(self, pixels: Any) -> Any:
        self.seen.append(pixels)
        return np.repeat(pixels[:, 0, 0], 2, axis=1).astype(np.float32)


def test_for_any_batch_gives_one_uint8_image_straight_to_the_interpreter() -> None:
    session = Recorder(1, "uint8")
    assert backends.for_any_batch(session) is session


@pytest.mark.parametrize(
    ("batch", "dtype", "count", "calls"),
    [
        (4, "uint8", 1, [4]),
        (4, "uint8", 4, [4]),
        (4, "uint8", 9, [4, 4, 4]),
        (-1, "uint8", 9, [9]),
        (1, "float32", 3, [1, 1, 1]),
        (-1, "float32", 3, [3]),
    ],
)
def test_for_any_batch_takes_any_number_of_images_through_a_file_of_any_batch(
    batch: int, dtype: str, count: int, calls: list[int]
) -> None:
    recorder = Recorder(batch, dtype)
    session = backends.for_any_batch(recorder)
    pixels = np.arange(count * 4, dtype=np.uint8).reshape(count, 2, 2, 1)
    assert session.run(pixels)[:, 0].tolist() == [4.0 * i for i in range(count)]
    assert session.run(np.asfortranarray(pixels)).shape == (count, 2)
    assert [len(seen) for seen in recorder.seen] == calls * 2
    assert {seen.dtype for seen in recorder.seen} == {np.dtype(dtype)}
    assert all(seen.flags.c_contiguous for seen in recorder.seen)
    with pytest.raises(InputError, match=r"expected uint8 pixels of shape \(-1, 2, 2, 1\), got"):
        session.run(pixels[..., 0])
