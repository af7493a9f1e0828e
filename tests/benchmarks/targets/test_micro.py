"""The target micro: TensorFlow Lite Micro's scores beside LiteRT's, what it lacks and what it gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks import targets
from edgewright.benchmarks.agreement import EngineError, judging
from edgewright.benchmarks.agreement.interpreting import MICRO, Interpreter, Interpreting, kept_going
from edgewright.benchmarks.record.measurement import Plan
from edgewright.benchmarks.targets import micro
from edgewright.benchmarks.targets.micro import ENGINE, TARGET
from edgewright.export.exporter import Result
from edgewright.runtime import Bundle, plugins
from edgewright.runtime.backends.litert import schema
from edgewright.runtime.backends.litert.tree import read, write
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import InputError, MissingExtraError, TargetError
from tests.benchmarks.agreement.planted import (
    SIDE,
    Writer,
    a_step_too_high,
    net,
    place_of,
    without_zero_point,
)

Run = Callable[..., tuple[int, str, str]]
runs = pytest.mark.skipif(not plugins.installed("tflite_micro"), reason="tflite-micro is not installed")


@pytest.fixture(autouse=True)
def _golden_images_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "SECONDS", 0.0)


def judged(raw: bytes, engine: Interpreter = ENGINE) -> tuple[Any, list[str], int]:
    file = schema.read(Path("net.tflite"), raw)
    images = np.random.default_rng(1).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
    given, output, head = file.inputs[0], file.outputs[0], Head(kind="logits", count=5)
    with kept_going(engine) as kept:
        return micro.judge(raw, kept, images, 3, given, output, head)


@runs
def test_micro_gives_the_scores_of_the_reference_kernels_and_its_arena(exported: tuple[Path, Result]) -> None:
    opened = Bundle.open(exported[0])
    TARGET.check(opened, "tflite-int8", Plan())
    found = TARGET.run(opened, "tflite-int8", Plan())
    assert found.check is not None
    assert (found.check.verdict, found.check.agreement, found.notes) == ("right", 1.0, [])
    assert found.check.images == 16
    assert found.counts["arena_bytes"][0] > 784
    assert found.samples_ns == {}
    assert "tflite-micro" in found.kernels


@pytest.mark.parametrize("variant", ["tflite-float32", "tflite-float16", "tflite-dynamic-int8"])
def test_micro_refuses_files_that_compute_in_floats_with_the_layer_that_does(
    exported: tuple[Path, Result], variant: str
) -> None:
    with pytest.raises(InputError, match=r"whose FULLY_CONNECTED \(dense.*\) computes in floats; take") as no:
        TARGET.check(Bundle.open(exported[0]), variant, Plan())
    assert "\n" not in str(no.value)


def test_micro_refuses_what_it_has_no_interpreter_for(
    exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Bundle.open(exported[0])
    with pytest.raises(InputError, match=r"expected an integer \.tflite .* got onnx-int8\.onnx"):
        TARGET.check(opened, "onnx-int8", Plan())
    with pytest.raises(InputError, match="expected 1 thread for target micro, got 2"):
        TARGET.check(opened, "tflite-int8", Plan(threads=2))
    monkeypatch.setattr(plugins, "installed", lambda module: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'edgewright\[micro\]'"):
        TARGET.check(opened, "tflite-int8", Plan())
    assert "tflite-micro" in targets.get("micro").missing()


@runs
def test_operators_that_it_lacks_are_named_by_layer() -> None:
    w = Writer()
    pixels = w.tensor("pixels", (1, SIDE, SIDE, 3), [1 / 255], 0, kind=3)
    front = w.operator("QUANTIZE", [pixels], w.tensor("q", (1, SIDE, SIDE, 3), [1 / 255], -128))
    for name in ("gelu", "gelu_2"):
        shaped = w.tensor(f"net_1/{name}_1/Gelu", (1, SIDE, SIDE, 3), [1 / 255], -128)
        front = w.operator("GELU", [front], shaped)
    shape = w.tensor("shape", [2], data=np.array([1, SIDE * SIDE * 3], np.int32), kind=2)
    flat = w.tensor("net_1/flatten_1/Reshape", (1, SIDE * SIDE * 3), [1 / 255], -128)
    dense = w.layer("dense", w.operator("RESHAPE", [front, shape], flat), "FULLY_CONNECTED", 1, 5)
    w.graph.inputs, w.graph.outputs = np.array([pixels], np.int32), np.array([dense], np.int32)
    check, (note,), arena = judged(w.bytes())
    assert (check.verdict, check.first_wrong_op, check.layer, arena) == ("wrong", "GELU", "gelu", 0)
    assert "does not take GELU (gelu), GELU (gelu_2)" in note
    assert "GELU" in note.partition(";")[0]
    assert check.remedy


@runs
def test_the_operator_that_it_computes_otherwise_is_named() -> None:
    class Wrong(Interpreter):
        def open(self, raw: bytes) -> Interpreting:
            tree = read(raw)
            place = place_of(tree, "conv2d_3")
            if place is not None:
                without_zero_point(tree, place)
            return super().open(write(tree))

    right, notes, arena = judged(net())
    assert (right.verdict, notes) == ("right", [])
    assert arena > 1000
    check, (note,), _ = judged(net(), Wrong(kernels=MICRO))
    assert (check.verdict, check.first_wrong_op, check.layer) == ("wrong", "CONV_2D", "conv2d_3")
    assert note.startswith("CONV_2D (conv2d_3) is the first to be off, by ")


@pytest.mark.slow
@runs
def test_roundings_that_add_up_differ_and_the_first_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rough(Interpreter):
        def open(self, raw: bytes) -> Interpreting:
            tree = read(raw)
            for layer in ("conv2d_3", "conv2d_4", "conv2d_5", "dense"):
                if (place := place_of(tree, layer)) is not None:
                    a_step_too_high(tree, place)
            return super().open(write(tree))

    monkeypatch.setattr(micro, "STEPS", 0)
    check, (note,), _ = judged(net(), Rough(kernels=MICRO))
    assert (check.verdict, check.layer) == ("differs", "conv2d_3")
    assert note.startswith("CONV_2D (conv2d_3) is the first to be off, by ")


@runs
def test_a_process_goes_on_with_the_next_part_and_a_dead_one_with_none() -> None:
    raw = net()
    pixels = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    with kept_going(ENGINE) as engine:
        assert engine.idle == []
        with engine.open(raw) as first:
            scores = first.run([pixels])
        (child,) = engine.idle or []
        with engine.open(raw) as second:
            assert np.array_equal(second.run([pixels])[0], scores[0])
            with pytest.raises(EngineError, match=r"\S"):
                second.run([pixels[:, :-1]])
            child._child.end()
            with pytest.raises(EngineError, match=r"crashes|takes more"):
                second.run([pixels])
        assert engine.idle == []
    with pytest.raises(EngineError, match="closed"):
        second.run([pixels])


def test_a_file_that_the_reference_kernels_do_not_run_is_an_error_in_a_line() -> None:
    tree = read(net())
    tree.operatorCodes[4].builtinCode = 31  # CONCAT_EMBEDDINGS, which no interpreter has
    with pytest.raises(TargetError, match="reference kernels") as failed:
        judged(write(tree))
    assert "\n" not in str(failed.value)


@runs
def test_bench_shows_the_verdict_and_names_what_is_not_measured(run: Run, bundle: Path) -> None:
    status, said, complaints = run("bench", bundle, "--target", "micro")
    assert status == 0
    assert "arena_bytes" in said
    assert "tflite-micro" in said
    assert [line.split()[1] for line in complaints.splitlines()] == [
        *("tflite-float32", "tflite-float16", "tflite-dynamic-int8", "onnx-float32", "onnx-int8"),
    ]
