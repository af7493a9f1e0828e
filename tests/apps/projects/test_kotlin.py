"""The Android project compiles, and what of it is plain Kotlin gives on the JVM what Python gives.

What is LiteRT's and Android's stands in `android.kt.txt`, which knows their names alone: no file of a project
runs there but `PictureModel.kt`, `Contract.kt` and the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.apps import howto, projects
from edgewright.runtime.bundle.manifest import Bundle

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PLACE = Path(os.environ.get("EDGEWRIGHT_CLIENTS") or ROOT / ".cache" / "clients") / "kotlin"
KOTLINC = PLACE / "node_modules" / "kotlin-compiler" / "bin" / "kotlinc"
SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # a quarter less work for what runs once
pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    if not KOTLINC.is_file() or shutil.which("java") is None:
        pytest.skip(f"expected Java and Kotlin's compiler in {PLACE}; run: make clients")


@pytest.fixture(scope="module")
def jar(exported: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole project of a bundle, compiled against names of Android's and LiteRT's classes."""
    folder = tmp_path_factory.mktemp("kotlin")
    opened = Bundle.open(exported[0])
    project = projects.get("kotlin")
    made = project.files(projects.app(opened, opened.variant("tflite-int8")))
    for name, raw in made.items():
        (folder / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "project" / name).write_bytes(raw)
    parts = re.split(r"(?m)^=== (\S+)\n", (HERE / "android.kt.txt").read_text())[1:]
    for number, (package, text) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        (folder / f"Names{number}.kt").write_text(f"package {package}\n\n{text}")
    shutil.copy(HERE / "Main.kt.txt", folder / "Main.kt")
    pasted = howto.snippet("android", opened.manifest, opened.variant("tflite-float32"))
    (folder / "Pasted.kt").write_text(pasted.replace("package com.example.picturemodel", "package pasted"))
    jar = folder / "app.jar"
    sources = sorted(map(str, folder.rglob("*.kt")))
    assert any(source.endswith("CameraActivity.kt") for source in sources)
    command = [
        "bash",
        str(KOTLINC),
        *sources,
        "-include-runtime",
        "-d",
        str(jar),
        "-Werror",
        "-jvm-target",
        "17",
    ]
    env = {**os.environ, "JAVA_OPTS": " ".join(SHORT_LIVED)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr[-5_000:]
    return jar


def _told(jar: Path, lines: list[str], folder: Path) -> list[str]:
    (folder / "lines.txt").write_text("\n".join(lines))
    command = [
        "java",
        *SHORT_LIVED,
        "-cp",
        f"{jar}:{jar.parent}/project/app/src/parity/data",
        "com.example.picturemodel.MainKt",
    ]
    done = subprocess.run([*command, str(folder / "lines.txt")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-5_000:]
    return done.stdout.splitlines()


def test_200_pictures_become_the_pixels_that_python_makes(
    jar: Path, pictures: list[Any], tmp_path: Path
) -> None:
    largest = _told(jar, [one.line() for one in pictures], tmp_path)
    assert [
        (one.contract, int(found)) for one, found in zip(pictures, largest, strict=True) if int(found) > 1
    ] == []


def test_scores_mean_what_they_mean_in_python(
    jar: Path, answers: list[Any], tmp_path: Path, assert_alike: Callable[..., None]
) -> None:
    assert_alike(_told(jar, [one.line() for one in answers], tmp_path), answers)


def test_goldens_of_every_file_get_their_scores_out_of_its_raw_output(
    jar: Path, exported: tuple[Path, Any], tmp_path: Path
) -> None:
    opened = Bundle.open(exported[0])
    lines = []
    for variant in opened.manifest.variants:
        app = projects.app(opened, variant)
        place = tmp_path / variant.name
        place.mkdir()
        for name, raw in app.parity.items():
            (place / name).write_bytes(raw)
        (place / "labels.txt").write_bytes(app.labels_file())
        given, scores = app.given, app.goldens.scores
        raw = scores.astype("<f4").tobytes()
        if given.gives_bytes:
            output = variant.output
            raw = np.round(scores / output.scale + output.zero_point).astype(np.uint8).tobytes()
        (place / "raw.bin").write_bytes(raw)
        files = ("golden-images.bin", "golden-scores.bin", "golden-answers.bin", "raw.bin", "labels.txt")
        words = given.common("")
        told = [
            words[key]
            for key in ("head", "threshold", "count", "scale", "zero_point", "takes_bytes", "gives_bytes")
        ]
        lines.append(" ".join(["goldens", *told, *(str(place / name) for name in files)]))
    for line, variant in zip(_told(jar, lines, tmp_path), opened.manifest.variants, strict=True):
        scores, answers = map(float, line.split())
        assert scores == 0.0, variant.name
        assert answers <= 1e-6, variant.name


def test_the_projects_own_tests_pass(jar: Path, tmp_path: Path) -> None:
    assert _told(jar, ["test"], tmp_path) == ["tests are well"]
