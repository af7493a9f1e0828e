"""What an app is told comes from the file's contract, and the Python snippet runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from edgewright.export import howto
from edgewright.runtime.bundle.manifest import Bundle, Manifest
from edgewright.runtime.errors import BundleError


@pytest.fixture
def manifest(bundle: Path) -> Manifest:
    return Bundle.open(bundle).manifest


@pytest.mark.parametrize("platform", howto.PLATFORMS)
def test_howto_snippet_leaves_nothing_to_fill_in(manifest: Manifest, platform: str) -> None:
    variant = howto.for_platform(platform, manifest)
    code = howto.snippet(platform, manifest, variant)
    assert variant.file.file in code or variant.file.file.removesuffix(".tflite") in code
    assert not re.search(r"\$\{\w+\}", code)
    assert len(code.splitlines()) <= 16


def test_howto_snippet_feeds_an_int8_file_bytes_and_dequantizes_its_scores(manifest: Manifest) -> None:
    int8 = next(v for v in manifest.variants if v.name == "tflite-int8")
    android = howto.snippet("android", manifest, int8)
    assert "allocateDirect(28 * 28 * 1 * 1)" in android
    assert "input.put(it.toByte())" in android
    assert "Array(1) { ByteArray(10) }" in android
    assert f"* {int8.output.scale:.9g}f" in android
    assert f"* {int8.output.scale:.9g}" in howto.snippet("ios", manifest, int8)
    assert f"{int8.output.scale:.8g} * (value - {int8.output.zero_point})" in howto.facts(manifest, int8)


def test_howto_snippet_gives_the_scores_of_a_float_file_as_they_are(manifest: Manifest) -> None:
    floats = next(v for v in manifest.variants if v.name == "tflite-float32")
    android = howto.snippet("android", manifest, floats)
    assert "Array(1) { FloatArray(10) }" in android
    assert "scores[0].map { it }" in android
    assert "input.put(it.toByte())" in android  # the input is uint8 all the same
    assert "value -" not in howto.facts(manifest, floats)


def test_howto_facts_name_size_fit_and_labels(manifest: Manifest) -> None:
    facts = howto.facts(manifest, manifest.variants[0])
    assert "uint8 (1, 28, 28, 1): grey pixels 0-255" in facts
    assert "resize to 28x28" in facts
    assert "10, in labels.txt" in facts


def test_howto_snippet_in_python_labels_a_picture(
    bundle: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(bundle)
    Image.new("RGB", (50, 40), "white").save("picture.jpg")
    for variant in manifest.variants:
        exec(howto.snippet("raspberry-pi", manifest, variant), {})
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 3
        assert lines[0].rpartition(" ")[0] in manifest.labels


def test_howto_platform_without_a_snippet_for_the_file_says_what_to_export(manifest: Manifest) -> None:
    onnx = next(v for v in manifest.variants if v.name == "onnx-int8")
    with pytest.raises(BundleError, match="--variants"):
        howto.snippet("android", manifest, onnx)
