"""Programs that know nothing of us open what we export, and give what our own runtime gave on export.

OpenVINO gave bit for bit what LiteRT gives on 8-bit networks without added branches. The sums of branches are
rounded in a way of each program's own, a step of 8 bits here and there; as logits that stays a step, but a
softmax makes several of it, and there the manifest's tolerance for other kernels holds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.benchmarks.figures.peers import VARIANTS
from edgewright.benchmarks.figures.peers import __main__ as peers
from edgewright.export import variants
from edgewright.runtime import Bundle, plugins
from edgewright.runtime.verification import GOLDEN_REFERENCE, read_golden

Ask = Callable[..., dict[str, list[Any]]]

pytestmark = pytest.mark.slow
TFLITE = [v.name for v in variants.defaults() if v.format == "tflite"]
ONNX = [v.name for v in variants.defaults() if v.format == "onnx"]
KINDS = pytest.mark.parametrize("kind", ["grey_mlp", "grey_cnn", "colour_cnn"])
OPENVINO = ("openvino", "openvino_scores.py")
NODE = ("node", "onnxruntime_scores.js")
MEDIAPIPE = ("mediapipe", "mediapipe_labels.py")


def check_scores(bundle: Bundle, answers: dict[str, list[Any]], *, same_kernels: bool = True) -> None:
    """Each file's answers are the recorded ones, within what the manifest says of it; `same_kernels` holds
    them to what it promises of the kernels it was made with."""
    golden = read_golden(bundle)
    for name, rows in answers.items():
        entry, raw = bundle.variant(name), np.array(rows, np.float32)
        step = entry.output.scale
        scores: NDArray[np.float32] = (raw - entry.output.zero_point) * step if step else raw
        limit = entry.tolerance.max_abs if same_kernels else entry.tolerance.max_abs_elsewhere
        np.testing.assert_allclose(scores, golden[name], rtol=0, atol=limit, err_msg=name)
        np.testing.assert_array_equal(scores.argmax(1), golden[name].argmax(1), err_msg=name)


@KINDS
def test_openvino_gives_the_recorded_scores(kind: str, ask: Ask, request: pytest.FixtureRequest) -> None:
    bundle: Bundle = request.getfixturevalue(kind)
    check_scores(bundle, ask(*OPENVINO, bundle, TFLITE + ONNX), same_kernels=False)


def test_openvino_opens_float_interface_and_weight_int8_files(ask: Ask, floats: Bundle) -> None:
    names = ["tflite-float32", "tflite-weight-int8", "onnx-float32"]
    check_scores(floats, ask(*OPENVINO, floats, names), same_kernels=False)


@KINDS
def test_onnxruntime_node_gives_the_recorded_scores(
    kind: str, ask: Ask, request: pytest.FixtureRequest
) -> None:
    bundle: Bundle = request.getfixturevalue(kind)
    check_scores(bundle, ask(*NODE, bundle, ONNX))


@pytest.mark.parametrize("client", [OPENVINO, NODE], ids=["openvino", "node"])
@pytest.mark.parametrize("together", [1, 5, 16])
def test_client_programs_take_any_batch_of_a_file_with_free_batch(
    client: tuple[str, str], together: int, ask: Ask, dynamic: Bundle
) -> None:
    answers = ask(*client, dynamic, ONNX, together=together)
    check_scores(dynamic, answers, same_kernels=client is NODE)


@pytest.mark.parametrize(
    ("kind", "names"),
    [("colour_cnn", TFLITE), ("floats", ["tflite-float32", "tflite-int8", "tflite-weight-int8"])],
)
def test_mediapipe_gives_the_same_labels_from_the_tflite_metadata(
    kind: str, names: list[str], ask: Ask, request: pytest.FixtureRequest
) -> None:
    bundle: Bundle = request.getfixturevalue(kind)
    golden = read_golden(bundle)
    labels = np.array(bundle.manifest.labels)
    assert len(set(golden[GOLDEN_REFERENCE].argmax(1))) >= 5, "the images should not all look the same"
    for name, found in ask(*MEDIAPIPE, bundle, names).items():
        for answer, expected in zip(found, golden[name], strict=True):
            scores = dict(answer)
            assert answer[0][0] == labels[expected.argmax()], name
            np.testing.assert_allclose(
                [scores[label] for label in labels],
                expected,
                rtol=0,
                atol=bundle.variant(name).tolerance.max_abs,
            )


@pytest.mark.long
def test_side_by_side_times_every_peer_and_sees_what_we_see(
    program: Callable[[str], list[str]], colour_cnn: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {Path(program(client)[0]).parent.parent.parent for client in ("openvino", "mediapipe", "opencv")}
    monkeypatch.setenv("EDGEWRIGHT_CLIENTS", str(place.pop()))
    model = shutil.copy(colour_cnn.folder.with_name("own.keras"), tmp_path)
    (tmp_path / "checkpoint.json").write_text('{"input_range": [0, 1]}')
    words = [str(colour_cnn.folder), "--model", str(model), "--rounds", "6", "--out", str(tmp_path)]
    assert peers.main(words) == 0
    rows = json.loads((tmp_path / "peers.json").read_text())["rows"]
    assert {row["peer"] for row in rows} == set(plugins.names("edgewright.benchmarks.figures.peers"))
    timed = {(row["peer"], row["variant"]): row for row in rows if not row["reason"]}
    for variant in VARIANTS:
        assert ("openvino-runtime", variant) in timed
    for variant in TFLITE[0], TFLITE[-1]:
        assert ("mediapipe-classifier", variant) in timed
    assert {("opencv-dnn", "onnx-float32"), ("keras-predict", "keras-float32")} <= set(timed)
    for key, row in timed.items():
        assert row["agreement"] >= 14 / 16, key  # some resize in another way
