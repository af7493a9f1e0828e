"""`edgewright predict`: labels for good pictures, one line for every bad word, no TensorFlow anywhere."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from edgewright.runtime import predictor
from edgewright.runtime.predictor import Predictor

Run = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]
Fresh = Callable[..., Any]

TENSORFLOW = ("tensorflow", "keras", "tf_keras", "onnx")


def test_predict_command_prints_the_best_classes_best_first(run: Run, bundle: Path, picture: Path) -> None:
    status, out, err = run("predict", bundle, picture)
    assert (status, err) == (0, "")
    assert out.startswith(f"{picture}: Ankle boot 0.")
    assert out.count(",") == 2
    assert out.count("\n") == 1


@pytest.mark.parametrize("top", [1, 10, 99])
def test_predict_top_says_how_many_and_there_are_never_more_than_there_are(
    run: Run, bundle: Path, picture: Path, top: int
) -> None:
    status, out, _ = run("predict", bundle, picture, "--top", top, "--json")
    assert status == 0
    assert len(json.loads(out)["predictions"]) == min(top, 10)


def test_predict_json_is_one_object_a_picture_and_line(run: Run, bundle: Path, picture: Path) -> None:
    status, out, err = run("predict", bundle, picture, picture, "--json", "--variant", "onnx-float32")
    assert (status, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert first == second
    assert first["image"] == str(picture)
    best = first["predictions"][0]
    assert (best["label"], best["index"]) == ("Ankle boot", 9)
    assert 0.5 < best["probability"] <= 1


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_predict_with_a_lone_file_copied_out_of_the_bundle_gives_labels(
    run: Run, bundle: Path, picture: Path, tmp_path: Path, suffix: str
) -> None:
    name = f"{suffix[1:]}-int8"
    lone = shutil.copyfile(bundle / f"{name}{suffix}", tmp_path / f"phone{suffix}")
    alone, inside = run("predict", lone, picture), run("predict", bundle, picture, "--variant", name)
    assert alone == inside
    assert "Ankle boot" in alone[1]


@pytest.mark.parametrize("variant", ["tflite-int8", "onnx-int8"])
@pytest.mark.parametrize("threads", [None, 2])
def test_predict_threads_go_to_the_interpreter(
    run: Run, bundle: Path, picture: Path, variant: str, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = predictor.load

    def noting(path: Path, *, threads: int, **rest: Any) -> Predictor:
        asked.append(threads)
        return real(path, threads=threads, **rest)

    monkeypatch.setattr(predictor, "load", noting)
    words = ["--threads", threads] if threads else []
    status, out, _ = run("predict", bundle, picture, "--variant", variant, *words)
    assert status == 0
    assert "Ankle boot" in out
    assert set(asked) == {threads or 1}


@pytest.mark.parametrize("bad_first", [True, False])
def test_predict_one_bad_picture_does_not_keep_the_good_one_from_its_label(
    run: Run, bundle: Path, picture: Path, tmp_path: Path, bad_first: bool
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("I am text")
    pictures = [bad, picture] if bad_first else [picture, bad]
    status, out, err = run("predict", bundle, *pictures)
    assert status == 1
    assert out.startswith(f"{picture}: Ankle boot")
    assert out.count("\n") == 1
    assert err.startswith("edgewright: ")
    assert "bad.png" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "No such file"),
        (b"", "which is none"),
        (b"hello", "which is none"),
        ("half", "damaged"),
    ],
    ids=["missing", "empty", "text", "truncated"],
)
def test_predict_bad_picture_is_one_line(
    refused: Refused, bundle: Path, tmp_path: Path, raw: bytes | str | None, reason: str
) -> None:
    path = tmp_path / "a.jpeg"
    if raw == "half":
        memory = io.BytesIO()
        Image.radial_gradient("L").save(memory, "JPEG")
        raw = memory.getvalue()[:-2000]
    if isinstance(raw, bytes):
        path.write_bytes(raw)
    line = refused("predict", bundle, path)
    assert "a.jpeg" in line
    assert reason in line


def test_predict_folder_archive_glob_and_standard_input_give_what_files_give(
    run: Run, bundle: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(60):
        shutil.copyfile(picture, folder / f"{i:02}.png")
    (folder / "30.png").write_text("I am text")
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    label = run("predict", bundle, picture, "--json")[1]
    predictions = json.loads(label)["predictions"]
    for word in (folder, tmp_path / "many.zip", folder / "*.png"):
        status, out, err = run("predict", bundle, word, "--json")
        assert status == 1
        assert err.count("\n") == 1
        lines = [json.loads(line) for line in out.splitlines()]
        assert [Path(line["image"]).name for line in lines] == [f"{i:02}.png" for i in range(60)]
        assert "which is none" in lines[30].pop("error")
        assert all(line["predictions"] == predictions for line in lines if len(line) == 2)
        assert sum(len(line) == 2 for line in lines) == 59
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(picture.read_bytes())))
    assert run("predict", bundle, "-", "--json") == (0, label.replace(str(picture), "-"), "")


def test_predict_picture_that_cannot_be_read_takes_its_turn(
    run: Run, bundle: Path, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    words = ["nowhere*.png", picture, tmp_path / "empty", picture, "missing.png"]
    status, out, err = run("predict", bundle, *words, "--json")
    assert status == 1
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["image"] for line in lines] == [str(word) for word in words]
    assert ["error" in line for line in lines] == [True, False, True, False, True]
    assert err.count("\n") == 3


@pytest.mark.parametrize(
    "words", [["--isolate"], ["--threads", "auto"], ["--backend", "litert"]], ids=" ".join
)
def test_predict_options_of_how_it_runs_change_no_label(
    run: Run, bundle: Path, picture: Path, words: list[str]
) -> None:
    plain = run("predict", bundle, picture, picture, "--variant", "tflite-int8")
    assert run("predict", bundle, picture, picture, "--variant", "tflite-int8", *words) == plain


def test_predict_names_a_broken_picture_in_an_archive(
    refused: Refused, bundle: Path, picture: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("deep/cut.png", picture.read_bytes()[:200])
    assert f"{tmp_path}/all.zip/deep/cut.png: expected a" in refused("predict", bundle, tmp_path / "all.zip")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--threads", "x"], "--threads: expected a number or auto, got 'x'"),
        (["--mean", "0.5,", "--std", "1"], "--mean: expected numbers with commas between, got '0.5,'"),
    ],
    ids=str,
)
def test_predict_option_with_a_word_where_a_number_is_wanted_is_told_what_is(
    capfd: pytest.CaptureFixture[str], run: Run, words: list[str], said: str
) -> None:
    with pytest.raises(SystemExit):
        run("predict", "model.tflite", "a.png", *words)
    assert said in capfd.readouterr().err


def test_predict_csv_has_a_row_a_class(run: Run, bundle: Path, picture: Path, tmp_path: Path) -> None:
    odd = shutil.copyfile(picture, tmp_path / 'a "b",\nc.png')
    status, out, err = run("predict", bundle, picture, odd, "--csv", "--top", 2)
    assert (status, err) == (0, "")
    header, *rows = csv.reader(io.StringIO(out))
    assert header == ["image", "rank", "label", "probability"]
    assert [row[:3] for row in rows[::2]] == [
        [str(picture), "1", "Ankle boot"],
        [str(odd).replace("\n", "\\n"), "1", "Ankle boot"],
    ]
    assert [row[1] for row in rows] == ["1", "2"] * 2
    with pytest.raises(SystemExit):
        run("predict", bundle, picture, "--csv", "--json")


def test_predict_labels_option_runs_a_file_of_others_and_says_what_it_assumed(
    run: Run, refused: Refused, bundle: Path, picture: Path, tmp_path: Path
) -> None:
    lone, labels = tmp_path / "theirs.onnx", tmp_path / "labels.txt"
    lone.write_bytes((bundle / "onnx-int8.onnx").read_bytes().replace(b"edgewright", b"someoneels"))
    labels.write_text("\n".join("abcdefghij"))
    status, out, err = run("predict", lone, picture, "--labels", labels, "--top", 1)
    assert status == 0
    assert out == run("predict", bundle / "onnx-int8.onnx", picture, "--top", 1)[1].replace("Ankle boot", "j")
    assert err.count(": assumed: ") == err.count("\n") == 3
    line = refused("predict", lone, picture, "--labels", labels, "--mean", "0.5,0.5", "--std", "-.5")
    assert "mean to be one number, got [0.5, 0.5]" in line
    assert "labels.tx" in refused("predict", lone, picture, "--labels", tmp_path / "labels.tx")
    labels.write_bytes(b"\xff\xfe\xfd")
    assert "labels.txt" in refused("predict", lone, picture, "--labels", labels)
    with pytest.raises(SystemExit):
        run("predict", lone, picture, "--labels", labels, "--input-range", "0..2")


@pytest.mark.parametrize("name", ["no\nsuch.png", "no\r\n\tsuch.png"])
def test_predict_name_with_a_line_break_still_gives_one_line(
    refused: Refused, bundle: Path, name: str
) -> None:
    assert "\r" not in refused("predict", bundle, name)


@pytest.mark.parametrize("name", ["missing", "missing.tflite", "missing.onnx"])
def test_predict_missing_model_is_one_line(
    refused: Refused, tmp_path: Path, picture: Path, name: str
) -> None:
    line = refused("predict", tmp_path / name, picture)
    assert str(tmp_path / name) in line
    assert "does not exist" in line


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx", "model.pt"])
def test_predict_text_file_named_as_a_model_is_one_line(
    refused: Refused, tmp_path: Path, picture: Path, name: str
) -> None:
    (tmp_path / name).write_text("I am text, and no model at all.\n" * 20)
    assert name in refused("predict", tmp_path / name, picture)


@pytest.mark.parametrize("file", ["tflite-int8.tflite", "onnx-int8.onnx"])
@pytest.mark.parametrize("damage", ["cut off", "changed"])
def test_predict_damaged_model_is_one_line(
    refused: Refused, bundle: Path, picture: Path, tmp_path: Path, file: str, damage: str
) -> None:
    raw = (bundle / file).read_bytes()
    middle = len(raw) // 2
    damaged = (
        raw[:middle] if damage == "cut off" else raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]
    )
    lone = tmp_path / file
    lone.write_bytes(damaged)
    assert file in refused("predict", lone, picture)
    (bundle / file).write_bytes(damaged)
    assert file in refused("predict", bundle, picture, "--variant", Path(file).stem)


def test_predict_model_without_a_contract_is_one_line(
    refused: Refused, run: Run, bundle: Path, picture: Path, tmp_path: Path
) -> None:
    for file in ("tflite-int8.tflite", "onnx-int8.onnx"):
        (tmp_path / file).write_bytes((bundle / file).read_bytes().replace(b"edgewright", b"someoneels"))
    line = refused("predict", tmp_path / "onnx-int8.onnx", picture)
    assert "carries no contract" in line and "pixels go in as they are" in line
    assert "--input-range" not in line  # which would change pixels that it takes as they are
    status, said, assumed = run("predict", tmp_path / "tflite-int8.tflite", picture)
    assert (status, "Ankle boot" in said) == (0, True)
    assert "10 labels, as labels.txt in its TFLite metadata says" in assumed


def test_predict_unknown_variant_suggests_the_nearest(refused: Refused, bundle: Path, picture: Path) -> None:
    line = refused("predict", bundle, picture, "--variant", "tflite-int9")
    assert "unknown variant 'tflite-int9'; did you mean 'tflite-int8'?" in line


def test_predict_variant_of_a_lone_file_is_refused(refused: Refused, bundle: Path, picture: Path) -> None:
    assert "bundle folder" in refused("predict", bundle / "onnx-int8.onnx", picture, "--variant", "onnx-int8")


@pytest.mark.parametrize("words", [("--top", 0), ("--top", -3), ("--threads", 0), ("--threads", 10**11)])
def test_predict_number_out_of_range_is_one_line(
    refused: Refused, bundle: Path, picture: Path, words: tuple[str, int]
) -> None:
    for variant in ("tflite-int8", "onnx-int8"):
        line = refused("predict", bundle, picture, "--variant", variant, *words)
        assert f"got {words[1]}" in line


def test_predict_cold_start_imports_nothing_that_it_does_not_need(
    fresh: Fresh, bundle: Path, picture: Path
) -> None:
    code = """
from edgewright.runtime.cli import main
main(sys.argv[1:])
print(sorted({"_hashlib", "tempfile", "rich", "concurrent.futures", "edgewright.runtime.bundle.manifest",
    "PIL.ImageOps"} & set(sys.modules)))
"""
    small = bundle / "tflite-int8.tflite"
    fresh("predict", small, picture)  # which has it tried out in another process
    done = fresh("predict", small, picture, code=code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("other", ["ai_edge_litert", "onnxruntime"])
def test_predict_needs_one_backend_and_no_tensorflow(
    fresh: Fresh, bundle: Path, picture: Path, other: str
) -> None:
    done = fresh("predict", bundle, picture, blocked=[*TENSORFLOW, other, "rich"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "Ankle boot" in done.stdout


@pytest.mark.parametrize(
    ("missing", "file", "extra"),
    [("ai_edge_litert", "tflite-int8.tflite", "tflite"), ("onnxruntime", "onnx-int8.onnx", "onnx")],
)
def test_predict_without_the_backend_names_the_pip_command(
    fresh: Fresh, bundle: Path, picture: Path, missing: str, file: str, extra: str
) -> None:
    for words in ([bundle / file], [bundle, "--variant", Path(file).stem]):
        done = fresh("predict", *words, picture, blocked=[missing])
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith(f"run: pip install 'edgewright[{extra}]'\n")
        assert done.stderr.count("\n") == 1


def test_predict_with_no_backend_at_all_names_the_pip_command(
    fresh: Fresh, bundle: Path, picture: Path
) -> None:
    done = fresh("predict", bundle, picture, blocked=["ai_edge_litert", "onnxruntime"])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("edgewright: ")
    assert "pip install 'edgewright[" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("package", "module", "file"),
    [
        ("onnxruntime", "__init__", "onnx-int8.onnx"),
        ("ai_edge_litert", "interpreter", "tflite-int8.tflite"),
    ],
)
def test_predict_backend_that_is_installed_but_broken_is_one_line(
    fresh: Fresh, bundle: Path, picture: Path, tmp_path: Path, package: str, module: str, file: str
) -> None:
    folder = tmp_path / "broken" / package
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / f"{module}.py").write_text("raise ImportError('libgomp.so.1: cannot open shared object file')")
    path = os.pathsep.join([str(tmp_path / "broken"), os.environ.get("PYTHONPATH", "")])
    done = fresh("predict", bundle / file, picture, PYTHONPATH=path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("edgewright: ")
    assert "libgomp.so.1" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
@pytest.mark.parametrize("words", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize(
    "name", [b"stiefel-gr\xc3\xb6\xc3\x9fe.png", b"stiefel-\xff.png"], ids=["utf8", "bytes"]
)
def test_predict_picture_may_have_any_name_that_the_system_allows(
    fresh: Fresh, bundle: Path, picture: Path, tmp_path: Path, name: bytes, words: list[str], encoding: str
) -> None:
    path = Path(shutil.copyfile(picture, tmp_path / os.fsdecode(name)))
    done = fresh("predict", bundle, path, *words, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Ankle boot" in done.stdout
    if words:
        assert json.loads(done.stdout)["predictions"][0]["label"] == "Ankle boot"


def test_predict_what_a_decoder_prints_does_not_add_to_the_one_line(
    fresh: Fresh, bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.tiff"
    Image.new("RGB", (28, 28)).save(path)
    raw = path.read_bytes()
    samples_per_pixel = b"\x15\x01\x03\x00\x01\x00\x00\x00"
    assert raw.count(samples_per_pixel) == 1
    path.write_bytes(raw.replace(samples_per_pixel + b"\x03\x00", samples_per_pixel + b"\x00\x08"))
    done = fresh("predict", bundle, path)
    assert done.returncode == 1
    assert done.stderr.startswith("edgewright: ")
    assert done.stderr.count("\n") == 1
