"""What one variant or one format fails with is a row, and the rest is written: also where it takes its
process with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export import formats, variants
from edgewright.export.exporter import Options, export
from edgewright.export.network.model import FileInterface, Model, digest
from edgewright.export.network.network import Network
from edgewright.export.source.options import Given
from edgewright.export.work.convert import _convert
from edgewright.export.work.events import Converted, Event, Failed
from edgewright.export.work.protocol import CALIBRATION, REFERENCE, TEST, Child
from edgewright.export.work.steps import Steps
from edgewright.runtime import Bundle
from edgewright.runtime.contract import InputContract, ModelContract
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images
from edgewright.train.normalization import Normalization

UNIT = Normalization.of_range(0.0, 1.0)
SHAPE = (8, 8, 3)
NAMES = "tflite-float32,tflite-float16,tflite-int8,onnx-float32"
# Run in the child before it loads: it has a scheme end the process, as a converter with a fault does.
CRASH = """
import os, signal
from edgewright.export import formats

schemes = formats.get("{format}").schemes

def crash(network, calibration):
    {crash}

object.__setattr__(schemes["{scheme}"], "convert", crash)
"""


@pytest.fixture
def plain(keras: Any, tmp_path: Path) -> Path:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(4)])
    model.save(tmp_path / "net.keras")
    return tmp_path / "net.keras"


@pytest.fixture
def crashing(tmp_path: Path) -> Callable[..., Path]:
    def write(file_format: str, scheme: str, crash: str = "os.kill(os.getpid(), signal.SIGSEGV)") -> Path:
        path = tmp_path / "crash.py"
        path.write_text(CRASH.format(format=file_format, scheme=scheme, crash=crash))
        return path

    return write


def images(count: int = 6) -> Images:
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE)).astype(np.uint8)


def converting(
    steps: Steps, folder: Path, model: Model, names: str = NAMES, first: tuple[str, ...] = ()
) -> list[Event]:
    folder.mkdir()
    np.save(folder / TEST, images())
    asked = variants.parse(names)
    place = InputContract(height=8, width=8, channels=3)
    labels = tuple("abcd")
    contracts = {v.name: ModelContract(name="x", variant=v.name, input=place, labels=labels) for v in asked}
    facts = steps.load(model, first)
    assert facts.shape == SHAPE
    return list(steps.convert(folder, model, asked, contracts, images(), "test", {}))


def rows(events: list[Event]) -> dict[str, str]:
    """The reason by variant, empty for one that was converted."""
    return {
        event.variant: event.reason if isinstance(event, Failed) else ""
        for event in events
        if isinstance(event, Failed | Converted)
    }


class Children:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count, start = 0, Child.__init__

        def note(process: Child, *given: Any) -> None:
            self.count += 1
            start(process, *given)

        patch.setattr(Child, "__init__", note)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Children:
    return Children(monkeypatch)


@pytest.mark.slow
def test_crash_of_a_converter_is_a_row_with_its_step_and_signal_and_the_rest_is_written(
    plain: Path, crashing: Callable[..., Path], tmp_path: Path, children: Children
) -> None:
    calibrates = "next(network.calibrating(calibration)); os.kill(os.getpid(), signal.SIGKILL)"
    code = crashing("tflite", "float16")
    code.write_text(code.read_text() + crashing("tflite", "int8", calibrates).read_text())
    with Steps(FileInterface()) as steps:
        found = rows(converting(steps, tmp_path / "first", Model.at(plain, UNIT, code=code)))
    assert found.pop("tflite-float16") == (
        "cannot be converted: the converting process ended by SIGSEGV while converting for tflite-float16"
    )
    assert found.pop("tflite-int8") == (
        "cannot be converted: the converting process ended by SIGKILL while calibrating for tflite-int8; "
        "is there enough memory?"
    )
    assert found == {"tflite-float32": "", "onnx-float32": ""}
    assert children.count == 3
    files = {path.name for path in (tmp_path / "first").iterdir()}
    assert {REFERENCE, "tflite-float32.tflite", "onnx-float32.onnx"} <= files


@pytest.mark.slow
def test_crash_of_the_plain_file_costs_its_format_and_no_other(
    plain: Path, crashing: Callable[..., Path], tmp_path: Path
) -> None:
    model = Model.at(plain, UNIT, code=crashing("tflite", "float32", "os.abort()"))
    with Steps(FileInterface()) as steps:
        found = rows(
            converting(steps, tmp_path / "job", model, "tflite-float32,onnx-float32", ("onnx", "tflite"))
        )
    assert found["onnx-float32"] == ""
    assert "ended by SIGABRT while writing it as tflite" in found["tflite-float32"]
    with (
        Steps(FileInterface()) as steps,
        pytest.raises(ExportError, match=r"tflite files cannot hold this network, the converting .*SIGABRT"),
    ):
        steps.load(model, ("tflite",))


def test_crash_while_loading_ends_the_export_with_its_step(plain: Path, tmp_path: Path) -> None:
    code = tmp_path / "own.py"
    code.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with (
        Steps(FileInterface()) as steps,
        pytest.raises(ExportError, match="SIGKILL while loading the model; is there enough memory"),
    ):
        steps.load(Model.at(plain, UNIT, code=code), ("tflite",))


@pytest.mark.slow
def test_format_that_cannot_hold_the_network_is_rows_and_is_not_tried_again(
    keras: Any, tmp_path: Path, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = keras.layers
    image = keras.Input(SHAPE)
    bent = layers.Lambda(lambda x: __import__("keras").ops.tan(x), name="bent")(layers.Flatten()(image))
    keras.Model(image, layers.Dense(4)(bent)).save(tmp_path / "tan.keras")
    model = Model.at(tmp_path / "tan.keras", UNIT, unsafe=True)
    for folder, started in (("first", 1), ("second", 1)):
        with Steps(FileInterface()) as steps:
            found = rows(converting(steps, tmp_path / folder, model, NAMES, ("onnx", "tflite")))
        reason = "cannot be converted: no such op: Tan in layer 'bent' (it would need TF select ops, Flex)"
        assert [found[name] for name in NAMES.split(",")] == [reason, reason, reason, ""]
        assert children.count == started
    with Steps(FileInterface()) as steps, pytest.raises(ExportError) as refused:
        steps.load(model, ("tflite",))
    assert "tflite files cannot hold this network, no such op: Tan in layer 'bent'" in str(refused.value)
    assert "name variants of another format" in str(refused.value)


def test_format_that_fails_without_having_been_tried_costs_its_time_once(
    tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a checkpoint, whose formats are not tried before."""
    tried, asked = [], ("tflite-float32", "tflite-float16", "tflite-int8")

    def fail(file_format: Any, network: Network, scheme: str, *rest: Any) -> Any:
        tried.append(scheme)
        raise ValueError("no such thing")

    monkeypatch.setattr(type(formats.get("tflite")), "export", fail)
    np.save(tmp_path / CALIBRATION, images())
    contracts = {name: {} for name in asked}
    task = {"folder": str(tmp_path), "reference": False, "contracts": contracts, "fine_tuned": {}}
    events: list[Event] = []
    _convert(Network(Model.at(plain, UNIT)), JsonObject(task, "the task", ExportError), events.append)
    assert rows(events) == dict.fromkeys(asked, "cannot be converted: no such thing")
    assert tried == ["float32"]


def test_own_code_and_chosen_output_are_part_of_what_the_cache_knows_a_step_by(
    plain: Path, tmp_path: Path
) -> None:
    code, elsewhere = tmp_path / "own.py", tmp_path / "deep" / "other.py"
    elsewhere.parent.mkdir()
    code.write_text("x = 1\n")
    elsewhere.write_text("x = 1\n")
    with Steps(FileInterface()) as steps:

        def parts(**how: Any) -> Any:
            return steps._parts("load", Model.at(plain, UNIT, **how))

        first = parts(code=code)
        assert parts(code=elsewhere) == first != parts()
        assert parts(output="kind") not in (parts(), parts(output="age"))
        code.write_text("x = 2\n")
        assert parts(code=code) != first


@pytest.mark.slow
def test_export_writes_a_bundle_beside_a_row(
    plain: Path, crashing: Callable[..., Path], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (400, *SHAPE)).astype(np.uint8)
    np.savez(tmp_path / "test.npz", x=x, y=random.integers(0, 4, 400))
    given = Given(
        normalization=UNIT, test=tmp_path / "test.npz", code=crashing("tflite", "float16"), head="logits"
    )
    asked = "tflite-float32,tflite-float16,onnx-float32"
    options = Options(out=tmp_path / "bundle", variants=asked, given=given, max_drop=0.5)
    result = export(plain, options)
    assert [outcome.passed for outcome in result.outcomes] == [True, False, True]
    manifest = Bundle.open(tmp_path / "bundle").manifest
    assert [entry.name for entry in manifest.variants] == ["tflite-float32", "onnx-float32"]
    (refused,) = manifest.refused
    assert "SIGSEGV" in refused["reason"]
    assert manifest.provenance["model"]["code_sha256"] == digest(tmp_path / "crash.py")
