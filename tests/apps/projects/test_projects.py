"""What is common to the projects of all languages, and the command that writes them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from edgewright.apps import folder, projects
from edgewright.apps.projects import App
from edgewright.runtime.bundle.manifest import Bundle, Manifest, VariantEntry
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import BundleError

Run = Callable[..., tuple[int, str, str]]
Fresh = Callable[..., "subprocess.CompletedProcess[str]"]
EVIL = "zq\"'`\\$(id)${id}*/-->]]>#{id}%s\u2028\n\rzq"


@pytest.fixture
def app(exported: tuple[Path, Any]) -> App:
    opened = Bundle.open(exported[0])
    return projects.app(opened, opened.variant("tflite-int8"))


def test_there_is_a_project_for_each_language() -> None:
    assert {"cpp", "kotlin", "python", "swift"} <= set(projects.names())


@pytest.mark.parametrize("language", projects.names())
def test_project_is_whole_and_the_same_each_time(app: App, language: str) -> None:
    project = projects.get(language)
    made = project.files(app)
    assert made == project.files(dataclasses.replace(app))
    assert app.model in made.values()
    assert "README.md" in made
    for name, raw in made.items():
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
        if path.suffix not in (".bin", ".tflite", ".png", ".js", ".wasm", ".npz"):
            assert "<<" not in raw.decode().replace(" << ", ""), name


@pytest.mark.parametrize("language", projects.names())
def test_nothing_a_bundle_says_becomes_code(app: App, language: str) -> None:
    labels = tuple(f"{EVIL}{number}" for number in range(len(app.labels)))
    file = dataclasses.replace(app.variant.file, file=f"{EVIL}.tflite")
    variant = dataclasses.replace(app.variant, name=EVIL, file=file, not_for_gpu=EVIL)
    manifest = dataclasses.replace(app.manifest, name=EVIL, labels=labels)
    hostile = dataclasses.replace(app, manifest=manifest, variant=variant)
    for name, raw in projects.get(language).files(hostile).items():
        if PurePosixPath(name).suffix in (".txt", ".json"):  # data; a label a line
            continue
        for part in (EVIL[:4].encode(), b"$(id)", b"${id}", b"*/-->"):
            assert part not in raw, name
    assert hostile.labels_file().decode().count("\n") == len(labels)
    assert len(hostile.labels_file().decode().splitlines()) == len(labels)
    assert set(hostile.given.title) <= set("abcdefghijklmnopqrstuvwxyz0123456789 -")


def test_pictures_are_all_orientations_and_no_more_than_fit() -> None:
    small = projects.pictures(InputContract(height=8, width=8, channels=3))
    found, place = set(), 0
    while place < len(small):
        width, height, orientation = np.frombuffer(small, "<i4", 3, place)
        found.add(int(orientation))
        place += 12 + int(width) * int(height) * 4 + 8 * 8 * 3
    assert found == set(range(1, 9))
    large = projects.pictures(InputContract(height=1_500, width=1_500, channels=3))
    assert len(large) == 12 + 4 + 1_500 * 1_500 * 3


def _with(app: App, **changes: Any) -> tuple[App, VariantEntry]:
    return app, dataclasses.replace(app.variant, **changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shape": (8, 28, 28, 1)}, "one image at a time"),
        ({"dtype": "int8"}, "uint8 or float32 edges"),
    ],
)
def test_file_with_another_input_is_refused(app: App, changes: dict[str, Any], says: str) -> None:
    variant = dataclasses.replace(app.variant, input=dataclasses.replace(app.variant.input, **changes))
    with pytest.raises(BundleError, match=says):
        projects.check(app.manifest, variant, (".tflite",), "kotlin")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shape": (1, 9)}, "expected a score a label"),
        ({"shape": ()}, "expected a score a label"),
        ({"scale": 0.0}, "a scale and a zero point"),
        ({"zero_point": 2**31}, "a scale and a zero point"),
    ],
)
def test_file_with_another_output_is_refused(app: App, changes: dict[str, Any], says: str) -> None:
    variant = dataclasses.replace(app.variant, output=dataclasses.replace(app.variant.output, **changes))
    with pytest.raises(BundleError, match=says):
        projects.check(app.manifest, variant, (".tflite",), "kotlin")


def test_command_writes_a_project_and_replaces_its_own(run: Run, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "app"
    status, said, complaints = run("app", bundle, "--lang", "kotlin", "--out", out)
    assert (status, complaints) == (0, "")
    assert said.startswith(f"{out}: ")
    assert "README.md" in said
    record = json.loads((out / folder.RECORD).read_text())
    smallest = projects.smallest(Bundle.open(bundle).manifest, (".tflite",), "kotlin")
    assert (record["lang"], record["variant"]) == ("kotlin", smallest.name)
    before = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert before == sorted([*record["files"], folder.RECORD])
    status, _, complaints = run("app", bundle, "--lang", "cpp", "--out", out)
    assert (status, complaints.count("\n")) == (1, 1)
    assert "--overwrite" in complaints
    assert (
        run("app", bundle, "--lang", "cpp", "--out", out, "--overwrite", "--variant", "tflite-float16")[0]
        == 0
    )
    assert (out / "model.tflite").read_bytes() == (bundle / "tflite-float16.tflite").read_bytes()
    assert not (out / "app").exists()


@pytest.mark.parametrize("what", ["changed", "added", "link", "folder", "record"])
def test_command_never_replaces_what_a_user_has_changed(
    run: Run, bundle: Path, tmp_path: Path, what: str
) -> None:
    out = tmp_path / "app"
    assert run("app", bundle, "--lang", "python", "--out", out)[0] == 0
    if what == "changed":
        (out / "picture_model" / "camera.py").write_text("mine")
    elif what == "added":
        (out / "picture_model" / "mine.py").write_text("mine")
    elif what == "link":
        (out / "picture_model" / "link").symlink_to(tmp_path)
    elif what == "folder":
        (out / "mine").mkdir()
        (out / "mine" / "a.txt").touch()
    else:
        (out / folder.RECORD).unlink()
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    status, said, complaints = run("app", bundle, "--lang", "python", "--out", out, "--overwrite")
    assert (status, said, complaints.count("\n")) == (1, "", 1)
    assert "choose another --out" in complaints
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_command_takes_no_damaged_file(run: Run, bundle: Path, tmp_path: Path) -> None:
    file = bundle / "tflite-int8.tflite"
    raw = bytearray(file.read_bytes())
    raw[100] ^= 1
    file.write_bytes(raw)
    status, said, complaints = run(
        "app", bundle, "--lang", "cpp", "--variant", "tflite-int8", "--out", tmp_path / "app"
    )
    assert (status, said) == (1, "")
    assert "is damaged" in complaints
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--variant", "onnx-int8"], "expected a .tflite file for kotlin"),
        (["--variant", "tflite-int9"], "did you mean 'tflite-int8'"),
    ],
)
def test_command_says_which_file_it_wants(
    run: Run, bundle: Path, tmp_path: Path, words: list[str], says: str
) -> None:
    status, said, complaints = run("app", bundle, "--lang", "kotlin", "--out", tmp_path / "app", *words)
    assert (status, said, complaints.count("\n")) == (1, "", 1)
    assert says in complaints


def test_project_is_made_of_the_smallest_file_that_is_proven(app: App) -> None:
    def without(*names: str) -> Manifest:
        entries = [
            dataclasses.replace(entry, parity=dataclasses.replace(entry.parity, verdict="not proven"))
            if entry.name in names
            else entry
            for entry in app.manifest.variants
        ]
        return dataclasses.replace(app.manifest, variants=tuple(entries))

    sizes = {v.name: v.file.bytes for v in app.manifest.variants if v.format == "tflite"}
    first, second, *_ = sorted(sizes, key=sizes.__getitem__)
    assert projects.smallest(without(), (".tflite",), "kotlin").name == first
    assert projects.smallest(without(first), (".tflite",), "kotlin").name == second
    with pytest.raises(BundleError, match="got none that is proven; name one by --variant: tflite-"):
        projects.smallest(without(*sizes), (".tflite",), "kotlin")


def test_command_imports_no_interpreter(fresh: Fresh, bundle: Path, tmp_path: Path) -> None:
    heavy = ("tensorflow", "keras", "tf_keras", "onnx", "onnxruntime", "ai_edge_litert", "flatbuffers")
    done = fresh("app", bundle, "--lang", "swift", "--out", tmp_path / "app", blocked=heavy)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("reason", ["", "they ignore a stride"])
def test_gpu_is_offered_where_nothing_is_known_against_it(app: App, reason: str) -> None:
    made = projects.get("kotlin").files(
        dataclasses.replace(app, variant=dataclasses.replace(app.variant, not_for_gpu=reason))
    )
    text = b"\n".join(raw for name, raw in made.items() if name.endswith((".kt", ".kts"))).decode()
    assert (f"forGpu = {'false' if reason else 'true'}") in text
    assert ("litert-gpu:" in text) == (not reason)
    assert ("goldensAreRightOnTheGpu" in text) == (not reason)
