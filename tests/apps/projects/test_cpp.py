"""The C++ project is built by CMake with LiteRT's library out of its wheel, and gives what Python gives."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from edgewright.apps import projects
from edgewright.runtime import load
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.contract import InputContract
from edgewright.runtime.preprocess import to_pixels

HERE = Path(__file__).parent
pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    missing = [name for name in ("cmake", "c++") if shutil.which(name) is None]
    missing += [header for header in ("jpeglib.h", "png.h") if not Path("/usr/include", header).is_file()]
    if missing:
        pytest.skip(f"expected cmake, g++, libjpeg-dev and libpng-dev, got no {missing[0]}")


@pytest.fixture(scope="module")
def litert() -> Path:
    spec = find_spec("ai_edge_litert")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def _make(out: Path, opened: Bundle, variant: str) -> None:
    for name, raw in projects.get("cpp").files(projects.app(opened, opened.variant(variant))).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(raw)


def _call(*words: str | Path, status: int = 0) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done.stderr if status else done.stdout


@pytest.fixture(scope="module")
def built(exported: tuple[Path, Any], litert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of an 8-bit file, built, and with it `check`, which runs its plain C++ as it is told."""
    out = tmp_path_factory.mktemp("cpp")
    _make(out, Bundle.open(exported[0]), "tflite-int8")
    shutil.copy(HERE / "check.cpp", out)
    with (out / "CMakeLists.txt").open("a") as file:
        file.write(
            "add_executable(check check.cpp)\ntarget_link_libraries(check PRIVATE picture_model_core)\n"
        )
        file.write("target_compile_options(picture_model_core PRIVATE -Werror)\n")
    _call("cmake", "-S", out, "-B", out / "build", f"-DLITERT_DIR={litert}")
    _call("cmake", "--build", out / "build")
    return out


def _told(built: Path, lines: list[str], folder: Path) -> list[str]:
    (folder / "lines.txt").write_text("\n".join(lines))
    return _call(built / "build" / "check", folder / "lines.txt").splitlines()


def test_200_pictures_become_the_pixels_that_python_makes(
    built: Path, pictures: list[Any], tmp_path: Path
) -> None:
    largest = _told(built, [one.line() for one in pictures], tmp_path)
    assert [
        (one.contract, int(found)) for one, found in zip(pictures, largest, strict=True) if int(found) > 1
    ] == []


def test_scores_mean_what_they_mean_in_python(
    built: Path, answers: list[Any], tmp_path: Path, assert_alike: Callable[..., None]
) -> None:
    assert_alike(_told(built, [one.line() for one in answers], tmp_path), answers)


def test_every_file_gives_the_scores_that_python_gives(
    built: Path, exported: tuple[Path, Any], litert: Path, tmp_path: Path
) -> None:
    opened = Bundle.open(exported[0])
    library = litert / "libLiteRt.so"
    for variant in opened.manifest.variants:
        if variant.format != "tflite":
            continue
        out = tmp_path / variant.name
        _make(out, opened, variant.name)
        objects = [
            built / "build" / "libpicture_model_core.a",
            library,
            f"-Wl,-rpath,{litert}",
            "-ljpeg",
            "-lpng",
        ]
        _call("c++", "-O1", "-std=c++17", out / "parity.cpp", "-o", out / "parity-test", *objects)
        lines = _call(out / "parity-test", out).splitlines()
        pixels, scores, answers, otherwise = (line.split() for line in lines)
        limit = {"int8": 0.0, "dynamic-int8": variant.tolerance.max_abs_elsewhere}.get(variant.scheme, 1e-5)
        assert float(scores[1]) <= limit, variant.name
        assert (int(pixels[1]), otherwise[1]) == (0, "0"), variant.name
        assert float(answers[1]) <= 1e-6, variant.name


def test_the_projects_own_test_passes_and_fails_where_a_score_is_another(built: Path) -> None:
    assert "100% tests passed" in _call("ctest", "--test-dir", built / "build")
    scores = built / "parity" / "golden-scores.bin"
    right = scores.read_bytes()
    wrong = np.frombuffer(right, "<f4").copy()
    wrong[3] += 0.5
    scores.write_bytes(wrong.tobytes())
    _call(built / "build" / "parity", built, status=1)
    scores.write_bytes(right)


def test_the_program_says_what_python_says(built: Path, exported: tuple[Path, Any], tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    pixels = np.random.default_rng(1).integers(0, 256, (60, 40, 3), np.uint8)
    Image.fromarray(pixels).save(picture)
    with load(exported[0], variant="tflite-int8") as predictor:
        expected = [f"{found.label} {found.probability:.6f}" for found in predictor.predict(picture, k=10)]
    assert _call(built / "build" / "picture_model", built, picture).splitlines() == expected
    said = _call(built / "build" / "picture_model", built, tmp_path / "none.png", status=1)
    assert "cannot read" in said


def _files() -> dict[str, bytes]:
    """Pictures as cameras and programs write them."""
    random = np.random.default_rng(5)
    smooth = np.add.outer(np.arange(90), np.arange(120))[..., None] * np.array([1, 2, 0.5]) % 256
    colour = Image.fromarray(smooth.astype(np.uint8))
    noise = Image.fromarray(random.integers(0, 256, (33, 47, 4), np.uint8))
    deep = Image.fromarray((random.integers(0, 2**16, (20, 30))).astype(np.uint16))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    written = {
        "jpeg": (colour, "JPEG", {"quality": 90}),
        "turned jpeg": (colour, "JPEG", {"exif": exif.tobytes()}),
        "grey jpeg": (colour.convert("L"), "JPEG", {}),
        "progressive jpeg": (colour.resize((400, 300)), "JPEG", {"progressive": True}),
        "transparent png": (noise, "PNG", {}),
        "turned png": (noise, "PNG", {"exif": exif.tobytes()}),
        "palette png": (colour.quantize(16), "PNG", {}),
        "grey png": (colour.convert("L"), "PNG", {}),
        "one-bit png": (colour.convert("1"), "PNG", {}),
        "deep png": (deep, "PNG", {}),
    }
    found = {}
    for name, (picture, kind, options) in written.items():
        stream = io.BytesIO()
        picture.save(stream, kind, **options)
        found[name] = stream.getvalue()
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_files_are_decoded_as_python_decodes_them(built: Path, tmp_path: Path, channels: int) -> None:
    """JPEG decoders differ by a level or two, and more where they smooth colours; other files do not."""
    contract = InputContract(height=20, width=24, channels=channels)
    lines = []
    for name, raw in _files().items():
        path = tmp_path / name.replace(" ", "-")
        path.write_bytes(raw)
        lines.append(f"decode 24 20 {channels} {path}")
    for (name, raw), line in zip(_files().items(), _told(built, lines, tmp_path), strict=True):
        got = np.frombuffer(bytes.fromhex(line), np.uint8).reshape(1, *contract.shape)
        apart = np.abs(got.astype(int) - to_pixels(raw, contract))
        assert apart.max() <= (3 if "jpeg" in name else 1), name


def test_damaged_files_are_refused(built: Path, tmp_path: Path) -> None:
    lines = []
    for name, raw in _files().items():
        for kind, damaged in {"cut": raw[: len(raw) // 2], "none": b"GIF89a" + raw, "empty": b""}.items():
            path = tmp_path / f"{name}-{kind}".replace(" ", "-")
            path.write_bytes(damaged)
            lines.append(f"decode 24 20 3 {path}")
    assert _told(built, lines, tmp_path) == ["refused"] * len(lines)


def test_another_version_of_litert_is_refused(built: Path, litert: Path, tmp_path: Path) -> None:
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert-9.9.9.dist-info").mkdir()
    (tmp_path / "ai_edge_litert" / "libLiteRt.so").touch()
    words = ("cmake", "-S", built, "-B", tmp_path / "build", f"-DLITERT_DIR={tmp_path / 'ai_edge_litert'}")
    said = " ".join(_call(*words, status=1).split())
    assert "another version; run: pip install --no-deps --target .litert ai-edge-litert==" in said


def test_a_project_with_other_labels_does_not_start(built: Path, tmp_path: Path) -> None:
    for name in ("model.tflite", "labels.txt"):
        shutil.copy(built / name, tmp_path)
    with (tmp_path / "labels.txt").open("a") as file:
        file.write("one more\n")
    said = _call(built / "build" / "picture_model", tmp_path, "picture.png", status=1)
    assert "expected 10 lines" in said
