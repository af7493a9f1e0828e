"""`evaluate` on colours whose class is seen: what comes of folders, archives, arrays and tables."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image
from sklearn import metrics as sklearn

from edgewright.runtime import evaluate, load
from edgewright.runtime.disk import outside
from edgewright.runtime.errors import DataError, InputError

Run = Callable[..., tuple[int, str, str]]
COLOURS = ("blue", "green", "red")
LABELS = ("red", "green", "blue")  # as the channels come: not in the order of the folders
SCALE = 12.0


def network(path: Path, end: str, labels: str = "red,green,blue", count: int = 3) -> Path:
    """How much there is of each channel, `SCALE` times, through `end`."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Slice", ["means", "zero", "count", "one"], ["first"]),
        helper.make_node("Mul", ["first", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "half"], ["centred"]),
        helper.make_node(end, ["centred"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, count))],
        [
            helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("count", TensorProto.INT64, [1], [count]),
            helper.make_tensor("scale", TensorProto.FLOAT, [1], [SCALE]),
            helper.make_tensor("half", TensorProto.FLOAT, [1], [SCALE / 2]),
        ],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    properties = {"Image.NominalPixelRange": "Normalized_0_1"} | ({"labels": labels} if labels else {})
    helper.set_model_props(model, properties)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return network(tmp_path_factory.mktemp("model") / "colours.onnx", "Softmax")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four of each colour; of the green ones, one is red, and one so a little less."""
    folder = tmp_path_factory.mktemp("pictures")
    for place, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir()
        for i in range(4):
            pixels = np.full((9, 7, 3), 20, np.uint8)
            pixels[..., place] = 150 + 10 * i
            if name == "green" and i > 1:
                pixels[..., 0], pixels[..., 1] = 100 + 30 * i, 90
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def test_class_folders_are_matched_by_name_and_judged(model: Path, pictures: Path) -> None:
    found = evaluate(model, pictures, top=2)
    assert found.images == 12
    assert found.labels == LABELS
    assert found.accuracy is not None and found.accuracy.value == pytest.approx(10 / 12)
    assert found.accuracy.low < 10 / 12 < found.accuracy.high
    assert (found.k, found.top and found.top.value) == (2, 1.0)
    assert found.confusion is not None
    assert found.confusion.tolist() == [[4, 0, 0], [2, 2, 0], [0, 0, 4]]
    ((pair,), (worst, _)) = found.confused, found.mistakes
    assert (pair.truth, pair.guess, pair.images, pair.share) == ("green", "red", 2, 0.5)
    assert (Path(worst.picture).name, worst.truth, worst.guess) == ("3.png", "green", "red")
    by_label = {one.label: one for one in found.classes}
    assert (by_label["red"].precision, by_label["green"].recall) == (pytest.approx(4 / 6), 0.5)
    assert (found.exact_match, found.label_accuracy, found.macro_auc) == (None, None, None)


def test_what_predict_says_is_what_is_judged(model: Path, pictures: Path) -> None:
    found = evaluate(model, pictures)
    with load(model) as predictor:
        for mistake in found.mistakes:
            best = predictor.predict(mistake.picture)[0]
            assert (best.label, best.probability) == (mistake.guess, pytest.approx(mistake.probability))


def zipped(folder: Path, path: Path, above: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for picture in sorted(folder.rglob("*.png")):
            archive.write(picture, f"{above}{picture.relative_to(folder)}")
    return path


def arrays(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    listed = sorted(folder.rglob("*.png"))
    x = np.stack([np.asarray(Image.open(picture)) for picture in listed])
    return x, np.array([LABELS.index(picture.parent.name) for picture in listed])


@pytest.mark.slow
def test_archives_arrays_and_tables_give_the_same(model: Path, pictures: Path, tmp_path: Path) -> None:
    expected = evaluate(model, pictures)
    x, y = arrays(pictures)
    np.savez(tmp_path / "plain.npz", x=x, y=y)
    np.savez(tmp_path / "keras.npz", x_train=x[:1], y_train=y[:1], x_test=x, y_test=y[:, None].astype("u1"))
    np.savez(tmp_path / "named.npz", x=x, y=2 - y, labels=np.array(["blue", "green", "red"]))
    lines = [f"{p.relative_to(pictures)},{p.parent.name}" for p in sorted(pictures.rglob("*.png"))]
    table = tmp_path / "moved" / "labels.csv"
    shutil.copytree(pictures, table.parent)
    table.write_text("image,label\n" + "\n".join(lines))
    split = tmp_path / "split"
    shutil.copytree(pictures, split / "test")
    shutil.copytree(pictures / "red", split / "train" / "green")
    sources = (
        zipped(pictures, tmp_path / "plain.zip"),
        zipped(pictures, tmp_path / "deep.zip", "some/where/"),
        *(tmp_path / f"{name}.npz" for name in ("plain", "keras", "named")),
        table,
        split,
    )
    for data in sources:
        found = evaluate(model, data)
        assert found.accuracy == expected.accuracy, data
        assert (found.brier, found.classes) == (expected.brier, expected.classes), data
    assert any("'test' are judged" in note for note in found.notes)


def test_damaged_pictures_are_named_left_out_and_fail_the_command(
    run: Run, model: Path, pictures: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    (data / "red/broken.png").write_bytes(b"no picture")
    status, said, complaints = run("evaluate", model, "--data", data)
    assert status == 1
    assert "12 pictures of" in said and "1 could not be read" in said
    assert complaints.count("broken.png") == 1
    assert run("evaluate", model, "--data", data, "--skip-bad")[0] == 0
    status, said, _ = run("evaluate", model, "--data", zipped(data, tmp_path / "d.zip"), "--json")
    found = json.loads(said)
    assert (status, [one["picture"] for one in found["left_out"]]) == (
        1,
        [f"{tmp_path}/d.zip/red/broken.png"],
    )
    for picture in data.rglob("*.png"):
        picture.write_bytes(b"")
    status, said, complaints = run("evaluate", model, "--data", data)
    assert (status, said) == (1, "")
    assert "expected pictures that can be read" in complaints


def test_command_prints_tables_and_writes_all_of_it(
    run: Run, model: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "found.json"
    status, said, complaints = run("evaluate", model, "--data", pictures, "--top", 2, "--out", out)
    assert status == 0
    for word in ("accuracy", "0.8333", "Wilson", "top-2 accuracy", "calibration error (15 bins)", "Brier"):
        assert word in said
    assert "green/3.png" in said and f"wrote {out}" in said
    assert "as 'labels' in its metadata says" in complaints
    found = json.loads(out.read_text())
    assert found["schema_version"] == 1
    assert found["confusion"] == [[4, 0, 0], [2, 2, 0], [0, 0, 4]]
    assert found["accuracy"]["value"] == pytest.approx(10 / 12)


def test_folders_of_other_names_are_taken_in_sorted_order_and_it_is_said(
    tmp_path: Path, pictures: Path, model: Path
) -> None:
    data = tmp_path / "data"
    for place, name in enumerate(LABELS):
        shutil.copytree(pictures / name, data / f"n{place}")
    found = evaluate(model, data)
    assert found.accuracy is not None and found.accuracy.value == pytest.approx(10 / 12)
    assert any("taken in their sorted order, n0 as red, n1 as green" in note for note in found.notes)
    nameless = network(tmp_path / "nameless.onnx", "Softmax", labels="")
    found = evaluate(nameless, data)
    assert found.labels == ("n0", "n1", "n2")
    assert not any("numbers" in note for note in found.notes)
    named = evaluate(nameless, data, labels=list(LABELS))
    assert named.labels == LABELS
    folded = tmp_path / "folded"
    for name in LABELS:
        shutil.copytree(pictures / name, folded / f"_{name.upper()}-")
    assert evaluate(model, folded).accuracy == found.accuracy


def test_some_classes_of_the_model_are_enough(model: Path, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures / "blue", tmp_path / "data" / "blue")
    found = evaluate(model, tmp_path / "data")
    assert found.accuracy is not None and found.accuracy.value == 1
    assert (found.macro_f1, [one.images for one in found.classes]) == (1.0, [0, 0, 4])


@pytest.mark.parametrize("end", ["Sigmoid", "Identity"])
def test_one_sigmoid_is_judged_at_its_threshold(tmp_path: Path, pictures: Path, end: str) -> None:
    model = network(tmp_path / "red.onnx", end, "red", count=1)
    data = tmp_path / "data"
    for name in LABELS:
        for picture in (pictures / name).iterdir():
            target = data / ("red" if name == "red" else "other") / f"{name}{picture.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, target)
    found = evaluate(model, data)
    assert found.labels == ("not red", "red")
    assert any("'other' is taken for 'not red'" in note for note in found.notes)
    x, y = arrays(pictures)
    yes = 1 / (1 + np.exp(-(x[..., 0].mean((1, 2)) / 255 * SCALE - SCALE / 2)))
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(((yes > 0.5) == (y == 0)).mean())
    assert found.macro_auc == pytest.approx(sklearn.roc_auc_score(y == 0, yes))
    assert found.brier == pytest.approx(sklearn.brier_score_loss(y == 0, yes), abs=1e-5)
    strict = evaluate(model, data, threshold=0.8)
    assert strict.accuracy is not None and strict.threshold == 0.8
    assert strict.accuracy.value == pytest.approx(((yes > 0.8) == (y == 0)).mean())


def test_several_labels_a_picture_are_judged_by_label(tmp_path: Path, pictures: Path, run: Run) -> None:
    model = network(tmp_path / "several.onnx", "Sigmoid")
    x, y = arrays(pictures)
    x[::3, ..., 2] = 200
    truth = np.eye(3, dtype=bool)[y]
    truth[::3, 2] = True
    truth[1, :] = False
    np.savez(tmp_path / "several.npz", x=x, y=truth)
    found = evaluate(model, tmp_path / "several.npz")
    scores = 1 / (1 + np.exp(-(x.mean((1, 2)) / 255 * SCALE - SCALE / 2)))
    decided = scores > 0.5
    assert found.exact_match is not None
    assert found.exact_match.value == pytest.approx(sklearn.accuracy_score(truth, decided))
    assert found.label_accuracy == pytest.approx((truth == decided).mean())
    assert found.macro_f1 == pytest.approx(sklearn.f1_score(truth, decided, average="macro"))
    assert found.macro_auc == pytest.approx(sklearn.roc_auc_score(truth, scores))
    assert (found.accuracy, found.confusion) == (None, None)
    wrong = found.mistakes[0]
    assert wrong.truth.removeprefix("not ") == wrong.guess.removeprefix("not ") != wrong.guess + wrong.truth
    # a table that names two of the three labels
    folder = tmp_path / "pictures"
    folder.mkdir()
    lines = ["image,blue,red"]
    for i, pixels in enumerate(x):
        Image.fromarray(pixels).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{truth[i, 2]:d},{truth[i, 0]:d}")
    (folder / "labels.csv").write_text("\n".join(lines))
    part = evaluate(model, folder / "labels.csv")
    assert part.labels == ("red", "blue")
    assert part.classes == tuple(one for one in found.classes if one.label != "green")
    status, said, _ = run("evaluate", model, "--data", folder / "labels.csv")
    assert status == 0 and "all labels right" in said and "AUC" in said


def test_data_that_cannot_be_used_are_refused_with_a_reason(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    x, y = arrays(pictures)

    def npz(**given: object) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npz"
        np.savez(path, **given)  # type: ignore[arg-type]
        return path

    (tmp_path / "empty").mkdir()
    (tmp_path / "two/a").mkdir(parents=True)
    shutil.copytree(pictures / "red", tmp_path / "two" / "purple")
    shutil.copytree(pictures / "red", tmp_path / "three" / "red")
    shutil.copytree(pictures / "red", tmp_path / "three" / "purple")
    (tmp_path / "bad.zip").write_bytes(b"PK\3\4")
    (tmp_path / "bad.npz").write_bytes(b"PK\3\4")
    (tmp_path / "text.txt").write_text("no")
    several = tmp_path / "several.csv"
    several.write_text("image,red,green\na.png,1,1\n")
    for data, message in (
        (tmp_path / "nothing", "expected class folders, a .zip of them, an .npz or a .csv"),
        (tmp_path / "text.txt", "expected class folders"),
        (tmp_path / "empty", "it holds no file that ends in"),
        (pictures / "red", "expected pictures in a folder for each class"),
        (tmp_path / "two", "named as the 3 labels of the model .* got 1: purple"),
        (tmp_path / "three", "got 'purple', which is none; labels: red, green, blue"),
        (tmp_path / "bad.zip", "it is no whole .zip"),
        (tmp_path / "bad.npz", "expected an .npz with arrays"),
        (several, "expected one class a picture .* got several"),
        (npz(a=x), "expected arrays x and y"),
        (npz(x=x.astype(float), y=y), "expected uint8 images"),
        (npz(x=x, y=y[1:]), "expected 12 whole numbers"),
        (npz(x=x, y=y - 1), "from 0 on"),
        (npz(x=x, y=y + 1), "expected classes from 0 to 2"),
        (npz(x=x[:0], y=y[:0]), "expected uint8 images"),
        (npz(x=np.array([None]), y=y), "expected an .npz with arrays"),
        (npz(x=x, y=y, labels=np.array(["a", "b"])), "that the 2 labels"),
    ):
        with pytest.raises(DataError, match=message):
            evaluate(model, data)
    with pytest.raises(InputError, match="expected top of at least 1, got 0"):
        evaluate(model, pictures, top=0)


def test_an_archive_of_arrays_that_would_fill_the_memory_is_not_read(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "_MOST_UNPACKED", 2**20)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros((3, 1000, 1000), np.uint8), y=np.zeros(3, int))
    with pytest.raises(DataError, match="bytes of arrays out of so few"):
        evaluate(model, path)


def test_an_embedding_decides_nothing(tmp_path: Path, pictures: Path) -> None:
    model = network(tmp_path / "embedding.onnx", "Identity", "")
    with pytest.raises(InputError, match="gives an embedding"):
        evaluate(model, pictures, head="embedding")


def test_scores_that_are_no_numbers_are_refused(tmp_path: Path, pictures: Path, run: Run) -> None:
    model = network(tmp_path / "logs.onnx", "Log", "red,green,blue")
    status, said, complaints = run("evaluate", model, "--data", pictures)
    assert (status, said) == (1, "")
    assert "expected numbers as scores" in complaints and ".png" in complaints
