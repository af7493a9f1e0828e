"""A model of one's own: what must be said of it, what is refused, and which image gets which label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewright.export import variants
from edgewright.export.network.model import Facts, Model
from edgewright.export.source.open import open_source
from edgewright.export.source.options import Given, Options
from edgewright.export.source.source import Source
from edgewright.runtime.bundle.parity import Judging
from edgewright.runtime.contract import FITS
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import DataError, EdgewrightError, ExportError, InputError
from edgewright.runtime.preprocess import to_pixels
from edgewright.train.checkpoint import CHECKPOINT
from edgewright.train.normalization import Normalization

FLOAT = variants.parse("tflite-float32,onnx-float32")
INT8 = variants.parse("tflite-float32,tflite-int8")
UNIT = Normalization.of_range(0.0, 1.0)
SIZE = (6, 8, 3)
COLOURS = {"ant": (0, 250, 0), "bee": (250, 0, 0), "cow": (0, 0, 250)}
Open = Callable[..., Source]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Open a file whose model is said to have three classes, without loading it."""
    path = tmp_path / "net.keras"
    path.write_bytes(b"looked into by the child alone")

    def call(
        chosen: Any = FLOAT,
        *,
        classes: int = 3,
        found: str = "softmax",
        data: str | None = None,
        **said: Any,
    ) -> Source:
        def load(model: Model, formats: Sequence[str]) -> Facts:
            assert model.path == path.resolve()
            return Facts(shape=SIZE, classes=classes, head=found, input="in", output="out")

        given = Given(**{"normalization": UNIT, **said})
        return open_source(path, options(data=data, given=given), chosen, load)

    return call


def options(**asked: Any) -> Options:
    return Options(out="unused", calibration_size=4, **asked)


def pictures(folder: Path, colours: dict[str, tuple[int, int, int]] = COLOURS, *, start: int = 0) -> Path:
    """Five pictures a class; no two the same, whatever `start`."""
    for label, colour in colours.items():
        (folder / label).mkdir(parents=True)
        for i in range(start, start + 5):
            picture = Image.new("RGB", (16, 12), colour)
            picture.paste((90, 10 * i, 90), (0, 0, 8, 6))
            picture.save(folder / label / f"{i}.png")
    return folder


def arrays(path: Path, count: int, *, seed: int = 0, **more: Any) -> Path:
    x = np.random.default_rng(seed).integers(0, 256, (count, *SIZE)).astype(np.uint8)
    np.savez(path, x=x, **more)
    return path


def truth(source: Source) -> list[int]:
    assert source.truth is not None
    found: list[int] = source.truth.tolist()
    return found


def test_source_test_class_folders_judge_in_the_order_of_their_names_and_give_the_labels(
    opened: Open, tmp_path: Path
) -> None:
    source = opened(test=pictures(tmp_path / "test"))
    assert (source.name, source.labels, source.head.kind) == ("net", ("ant", "bee", "cow"), "softmax")
    assert source.judging == Judging(by="accuracy", images="labelled")
    assert truth(source) == [0] * 5 + [1] * 5 + [2] * 5
    brightest = source.test.reshape(15, -1, 3)[:, -1].argmax(axis=1)
    assert brightest.tolist() == [1] * 5 + [0] * 5 + [2] * 5  # green, red, blue
    assert source.calibration.shape == (0, *SIZE)
    assert source.notes == ()


def test_source_labels_of_a_file_settle_which_folder_is_which_score(opened: Open, tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("cow\r\nfly\r\nbee\r\nant\r\n", encoding="utf-8")
    source = opened(test=pictures(tmp_path / "test"), labels=file, classes=4)
    assert source.labels == ("cow", "fly", "bee", "ant")
    assert truth(source) == [3] * 5 + [2] * 5 + [0] * 5


def test_source_test_folders_fewer_than_scores_may_be_called_by_number(opened: Open, tmp_path: Path) -> None:
    some = {"7": (250, 0, 0), "12": (0, 250, 0)}
    source = opened(test=pictures(tmp_path / "test", some), classes=20)
    assert sorted(set(truth(source))) == [7, 12]
    assert source.notes == ("no --labels were given: classes are called 0 to 19",)


def test_source_test_npz_judges_and_one_without_labels_calibrates(opened: Open, tmp_path: Path) -> None:
    test = arrays(tmp_path / "test.npz", 9, y=np.arange(9).reshape(9, 1) % 3)
    source = opened(INT8, test=test, calibration=arrays(tmp_path / "c.npz", 7, seed=1))
    assert (len(source.test), len(source.calibration)) == (9, 4)
    assert truth(source) == [0, 1, 2] * 3
    assert source.labels == ("0", "1", "2")
    again = opened(INT8, test=test, calibration=tmp_path / "c.npz")
    np.testing.assert_array_equal(source.calibration, again.calibration)


def test_source_calibration_takes_a_flat_folder_of_pictures(opened: Open, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for i in range(6):
        Image.new("RGB", (30, 20), (i, 2 * i, 99)).save(flat / f"{i}.png")
    source = opened(INT8, test=pictures(tmp_path / "test"), calibration=flat)
    assert source.calibration.shape == (4, *SIZE)
    assert source.calibration_split == "flat"


def test_source_calibration_of_labelled_images_is_drawn_from_all_classes(
    opened: Open, tmp_path: Path
) -> None:
    source = opened(INT8, test=pictures(tmp_path / "test"), calibration=pictures(tmp_path / "more", start=5))
    brightest = source.calibration.reshape(4, -1, 3)[:, -1].argmax(axis=1)
    assert set(brightest.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("fit", FITS)
def test_source_pictures_are_fitted_as_asked_and_the_contract_says_so(
    opened: Open, tmp_path: Path, fit: str
) -> None:
    folder = pictures(tmp_path / "test")
    wide = tmp_path / "test" / "ant" / "0.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 40, 3)).astype(np.uint8)).save(wide)
    source = opened(test=folder, fit=fit)
    assert source.input.fit == fit
    np.testing.assert_array_equal(source.test[:1], to_pixels(wide, source.input))
    black = not source.test[0, 0].any()
    assert black == (fit == "letterbox")


def test_source_data_of_a_named_data_set_must_be_of_the_models_size(opened: Open) -> None:
    with pytest.raises(DataError, match=r"expected images \(6, 8, 3\).*got \(28, 28, 1\) in fashion-mini"):
        opened(INT8, data="fashion-mini", classes=10)


def test_source_data_set_gives_both_test_and_calibration(opened: Open, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    parts = {f"x_{part}": random.integers(0, 256, (9, *SIZE)).astype(np.uint8) for part in ("train", "test")}
    numbers = np.arange(9) % 3
    np.savez(tmp_path / "d.npz", **parts, y_train=numbers, y_test=numbers, labels=np.array(["a", "b", "c"]))
    source = opened(INT8, data=str(tmp_path / "d.npz"))
    assert source.labels == ("a", "b", "c")
    np.testing.assert_array_equal(source.test, parts["x_test"])
    known = {image.tobytes() for image in parts["x_train"]}
    assert len(source.calibration) == 4
    assert {image.tobytes() for image in source.calibration} <= known


def test_source_pictures_without_labels_calibrate_and_judge_apart(opened: Open, tmp_path: Path) -> None:
    source = opened(INT8, pictures=arrays(tmp_path / "p.npz", 40))
    assert source.truth is None
    assert source.judging == Judging(by="agreement", images="unlabelled")
    assert (len(source.calibration), len(source.test)) == (4, 36)
    everything = np.concatenate([source.calibration, source.test])
    assert len(np.unique(everything.reshape(40, -1), axis=0)) == 40
    assert "judged on 36 unlabelled pictures" in source.notes[-1]
    given = opened(INT8, pictures=tmp_path / "p.npz", calibration=arrays(tmp_path / "c.npz", 7, seed=1))
    assert (len(given.calibration), len(given.test)) == (4, 40)


def test_source_pictures_that_are_there_twice_do_not_judge_what_they_calibrate(
    opened: Open, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).integers(0, 256, (6, *SIZE)).astype(np.uint8)
    np.savez(tmp_path / "p.npz", x=np.concatenate([x] * 4))
    source = opened(INT8, pictures=tmp_path / "p.npz")
    known = {image.tobytes() for image in source.calibration}
    assert not known & {image.tobytes() for image in source.test}
    assert "that calibrate already" in source.left_out[0]
    np.savez(tmp_path / "one.npz", x=np.concatenate([x[:1]] * 8))
    with pytest.raises(DataError, match="the same one again and again"):
        opened(INT8, pictures=tmp_path / "one.npz")


def test_source_without_pictures_is_noise_of_the_models_size_and_says_so(opened: Open) -> None:
    source = opened()
    assert source.judging == Judging(by="agreement", images="noise")
    assert source.test.shape == (400, *SIZE)
    assert len(np.unique(source.test.reshape(400, -1), axis=0)) == 400
    assert source.provenance["data"]["name"] == "seeded noise"
    assert "pictures of noise" in source.notes[-1]
    np.testing.assert_array_equal(source.test, opened().test)


def test_source_one_sigmoid_has_two_labels(opened: Open, tmp_path: Path) -> None:
    two = pictures(tmp_path / "test", {"cat": (250, 0, 0), "dog": (0, 250, 0)})
    source = opened(test=two, classes=1, found="sigmoid")
    assert (source.labels, source.head) == (("cat", "dog"), Head(kind="sigmoid", count=1))
    assert truth(source) == [0] * 5 + [1] * 5
    assert opened(test=two, classes=1, found="sigmoid", threshold=0.3).head.threshold == 0.3
    logit = opened(test=two, classes=1, found="sigmoid-logits")
    assert "what comes before a sigmoid" in logit.notes[0]
    three = pictures(tmp_path / "three")
    with pytest.raises(DataError, match="a number from 0 to 1, got 'ant'"):
        opened(test=three, classes=1, found="sigmoid")


def test_source_labels_and_threshold_that_do_not_fit_the_head_are_refused(
    opened: Open, tmp_path: Path
) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("dog\n", encoding="utf-8")
    test = arrays(tmp_path / "t.npz", 9, y=np.arange(9) % 2)
    with pytest.raises(InputError, match="2 labels, two labels of one sigmoid score, that of a no first"):
        opened(test=test, classes=1, found="sigmoid", labels=file)
    with pytest.raises(InputError, match="no labels of an embedding"):
        opened(test=test, head="embedding", labels=file)
    with pytest.raises(InputError, match="--threshold with a sigmoid"):
        opened(test=test, threshold=0.3)
    with pytest.raises(InputError, match="--threshold between 0 and 1, got 1"):
        opened(test=test, classes=1, found="sigmoid", threshold=1.0)
    with pytest.raises(DataError, match=r"a yes or no for each label .* got one class an image"):
        opened(test=test, found="sigmoid")


def test_source_embedding_is_judged_by_its_cosine_on_any_pictures(opened: Open, tmp_path: Path) -> None:
    asked: list[dict[str, Path]] = [
        {"test": pictures(tmp_path / "test")},
        {"pictures": tmp_path / "test"},
        {},
    ]
    for said in asked:
        source = opened(head="embedding", **said)
        assert (source.labels, source.truth, source.judging.by) == ((), None, "cosine")


def test_open_source_refuses_what_is_missing_before_the_model_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    path.write_bytes(b"")

    def refusal(chosen: Any, data: str | None = None, **said: Any) -> str:
        asked = options(data=data, given=Given(**said))
        with pytest.raises(InputError) as refused:
            open_source(path, asked, chosen, lambda *unused: pytest.fail("loaded"))
        assert "\n" not in str(refused.value)
        return str(refused.value)

    test = tmp_path
    assert "add --input-range" in refusal(FLOAT, test=test)
    assert "add --pictures FOLDER" in refusal(INT8, normalization=UNIT)
    message = refusal(INT8, normalization=UNIT, test=test)
    assert "calibration images for tflite-int8, got none" in message
    assert "--variants tflite-float32" in message
    assert "got --data and --test" in refusal(FLOAT, data="mnist", normalization=UNIT, test=test)
    assert "got --test and --pictures" in refusal(FLOAT, pictures=test, normalization=UNIT, test=test)
    assert "got --data and --calibration" in refusal(FLOAT, data="x", normalization=UNIT, calibration=test)
    assert "labels.txt" in refusal(FLOAT, normalization=UNIT, test=test, labels=tmp_path / "labels.txt")


def test_open_source_refuses_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"")
    for name in ("net.pt", "nowhere.keras", "."):
        with pytest.raises(InputError, match=r"expected a checkpoint folder .* or a SavedModel folder, got"):
            open_source(tmp_path / name, options(), FLOAT, lambda *unused: pytest.fail("loaded"))


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"labels": Path("labels.txt")}, "--labels"),
        ({"normalization": UNIT}, "--input-range"),
        ({"fit": "crop"}, "--fit"),
        ({"head": "logits"}, "--head"),
        ({"calibration": Path("here")}, "--calibration"),
        ({"test": Path("here")}, "--test"),
        ({"size": (6, 8)}, "--size"),
        ({"unsafe_load": True}, "--unsafe-load"),
    ],
)
def test_open_source_of_a_checkpoint_refuses_flags_it_says_itself(
    tmp_path: Path, said: dict[str, Any], says: str
) -> None:
    (tmp_path / CHECKPOINT).touch()
    asked = options(given=Given(**said))
    with pytest.raises(InputError, match=f"expected {says}.* got it with .* a checkpoint"):
        open_source(tmp_path, asked, FLOAT, lambda *unused: pytest.fail("loaded"))


def test_source_labels_and_images_that_do_not_fit_the_model_get_one_line(
    opened: Open, tmp_path: Path
) -> None:
    test, labels = pictures(tmp_path / "test"), tmp_path / "labels.txt"

    def refusal(kind: type[EdgewrightError], *words: Any, **said: Any) -> str:
        with pytest.raises(kind) as refused:
            opened(*words, **said)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    labels.write_text("ant\nbee\n")
    assert "expected 3 labels, one a score, got 2" in refusal(InputError, test=test, labels=labels)
    labels.write_text("ant\n\nbee\n")
    assert "an empty line 2" in refusal(InputError, test=test, labels=labels)
    labels.write_text("ant\nbee\ncat\n")
    assert "one of 3 labels, got 'cow'" in refusal(DataError, test=test, labels=labels)
    labels.write_text("ant\nant\nbee\ncow\n")
    assert "got 'ant'" in refusal(DataError, test=test, labels=labels, classes=4)
    assert "a number from 0 to 4, got 'ant'; add --labels" in refusal(DataError, test=test, classes=5)
    numbers = arrays(tmp_path / "n.npz", 4, y=np.array([0, 1, 2, 3]))
    assert "class numbers from 0 to 2" in refusal(DataError, test=numbers)
    assert "expected arrays x and y" in refusal(DataError, test=arrays(tmp_path / "u.npz", 4))
    np.savez(tmp_path / "f.npz", x=np.zeros((4, *SIZE), np.float32), y=np.zeros(4, int))
    assert "raw pixels 0-255" in refusal(DataError, test=tmp_path / "f.npz")
    assert "does not exist" in refusal(DataError, test=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "expected pictures" in refusal(DataError, INT8, test=test, calibration=tmp_path / "empty")
    (test / "cow" / "0.png").write_bytes(b"no picture")
    assert "0.png" in refusal(DataError, test=test)


def test_source_test_images_that_also_calibrate_are_refused(opened: Open, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "test")
    with pytest.raises(DataError, match="expected test images that do not occur in calibration, got 4 of 15"):
        opened(INT8, test=folder, calibration=folder)


def test_source_reference_scores_that_cannot_be_compared_with_get_one_line(
    opened: Open, tmp_path: Path
) -> None:
    test = pictures(tmp_path / "test")
    source, by_logits = opened(test=test), opened(test=test, head="logits")
    good = np.random.default_rng(0).dirichlet(np.ones(3), 15).astype(np.float32)
    source.check(good)
    by_logits.check(good * 5)
    for scores, says, judge in (
        (good * np.nan, "NaN", source),
        (np.repeat(good[:1], 15, axis=0), "got the same for all 15 test images", source),
        (good * 5, "add --head logits", source),
        (good, "add --head softmax", by_logits),
    ):
        with pytest.raises(ExportError, match=says):
            judge.check(scores)
