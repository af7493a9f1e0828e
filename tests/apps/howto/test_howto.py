"""What an app is told comes from the file's contract, and the Python snippet runs."""

from __future__ import annotations

import dataclasses
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from edgewright.apps import howto, projects
from edgewright.runtime.bundle.manifest import Bundle, Manifest, VariantEntry
from edgewright.runtime.errors import BundleError


@pytest.fixture
def manifest(bundle: Path) -> Manifest:
    return Bundle.open(bundle).manifest


@pytest.mark.parametrize("platform", howto.PLATFORMS)
def test_howto_snippet_leaves_nothing_to_fill_in(manifest: Manifest, platform: str) -> None:
    variant = howto.for_platform(platform, manifest)
    code = howto.snippet(platform, manifest, variant)
    assert f'"{variant.file.file}"' in code
    assert not re.search(r"<<\w+>>", code)


@pytest.mark.parametrize(
    ("platform", "language"), [("android", "kotlin"), ("ios", "swift"), ("raspberry-pi", "python")]
)
def test_howto_snippet_is_what_the_project_holds(
    bundle: Path, manifest: Manifest, platform: str, language: str
) -> None:
    opened = Bundle.open(bundle)
    variant = howto.for_platform(platform, manifest)
    made = projects.get(language).files(projects.app(opened, variant))
    code = set(howto.snippet(platform, manifest, variant).splitlines())
    ends = ("/PictureModel.kt", "/PictureModel.swift", "/LiteRt.kt", "/LiteRt.swift", "/model.py")
    files = [raw.decode() for name, raw in made.items() if name.endswith(ends)]
    lines = [line for file in files for line in file.splitlines() if "model.tflite" not in line]
    assert len(lines) > 40
    assert {line for line in lines if line not in code} <= {
        "import PictureModel",
        'MODEL = Path(__file__).with_name("model.onnx")',
    }


def test_howto_snippet_feeds_an_int8_file_bytes_and_dequantizes_its_scores(manifest: Manifest) -> None:
    int8 = next(v for v in manifest.variants if v.name == "tflite-int8")
    android = howto.snippet("android", manifest, int8)
    for line in ("width = 28", "channels = 1", "takesBytes = true", "givesBytes = true", "count = 10"):
        assert f"    {line},\n" in android
    assert f"scale = {int8.output.scale:.9g}f" in android
    assert f"scale: {int8.output.scale:.9g}" in howto.snippet("ios", manifest, int8)
    assert f"{int8.output.scale:.8g} * (value - {int8.output.zero_point})" in howto.facts(manifest, int8)


def test_howto_snippet_gives_the_scores_of_a_float_file_as_they_are(manifest: Manifest) -> None:
    floats = next(v for v in manifest.variants if v.name == "tflite-float32")
    android = howto.snippet("android", manifest, floats)
    assert "givesBytes = false" in android
    assert "takesBytes = true" in android  # the input is uint8 all the same
    assert "value -" not in howto.facts(manifest, floats)


def test_howto_facts_name_size_fit_and_labels(manifest: Manifest) -> None:
    facts = howto.facts(manifest, manifest.variants[0])
    assert "uint8 (1, 28, 28, 1): grey pixels 0-255" in facts
    assert "resize to 28x28" in facts
    assert "10, in labels.txt" in facts


def test_howto_facts_say_what_is_not_for_gpus(manifest: Manifest) -> None:
    variant = manifest.variants[3]
    assert "GPU" not in howto.facts(manifest, variant)
    unfit = dataclasses.replace(variant, not_for_gpu="they ignore a stride")
    assert "not for GPU: they ignore a stride; leave it on the CPU" in howto.facts(manifest, unfit)


def test_howto_snippet_in_python_labels_a_picture(
    bundle: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(bundle)
    monkeypatch.setattr(sys, "argv", ["snippet.py", "picture.jpg"])
    Image.new("RGB", (50, 40), "white").save("picture.jpg")
    for variant in manifest.variants:
        Path("snippet.py").write_text(howto.snippet("raspberry-pi", manifest, variant))
        with pytest.raises(SystemExit, match="0"):
            runpy.run_path("snippet.py", run_name="__main__")
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 3
        assert lines[0].rpartition(" ")[0] in manifest.labels


def test_howto_platform_without_a_snippet_for_the_file_says_what_to_export(manifest: Manifest) -> None:
    onnx = next(v for v in manifest.variants if v.name == "onnx-int8")
    with pytest.raises(BundleError, match="--variants"):
        howto.snippet("android", manifest, onnx)


HEADS = {
    "softmax": (3, ("a", "b", "c")),
    "logits": (3, ("a", "b", "c")),
    "binary": (1, ("no", "yes")),
    "binary-logits": (1, ("no", "yes")),
    "sigmoid": (3, ("a", "b", "c")),
    "sigmoid-logits": (3, ("a", "b", "c")),
    "embedding": (64, ()),
}


def of(manifest: Manifest, head: str, channels: int = 3) -> tuple[Manifest, VariantEntry]:
    """The bundle's smallest .tflite file, as if it were of that head."""
    variant = howto.for_platform("android", manifest)
    count, labels = HEADS[head]
    output = dataclasses.replace(variant.output, shape=(1, count))
    changed = dataclasses.replace(
        manifest,
        head=head.replace("binary", "sigmoid"),
        labels=labels,
        threshold=0.4,
        input=dataclasses.replace(manifest.input, channels=channels),
    )
    taken = dataclasses.replace(variant.input, shape=(1, *changed.input.shape))
    return changed, dataclasses.replace(variant, input=taken, output=output)


# What each language brings without an import; all else that is called by a name has to have one.
OWN = {
    "android": {
        "PictureModel",
        "Array",
        "ByteArray",
        "FloatArray",
        "List",
        "Pair",
        "String",
        "Float",
        "AutoCloseable",
    },
    "ios": {"PictureModel", "Array", "String", "Float", "Int", "UInt8", "Float32"},
}
MODULES = {  # what Swift's imports bring
    "Foundation": {"Bundle", "Data", "CocoaError"},
    "TensorFlowLite": {"Interpreter"},
    "UIKit": {"UIImage"},
    "MediaPipeTasksVision": {
        *("ImageClassifier", "ImageClassifierOptions", "ImageEmbedder", "ImageEmbedderOptions", "MPImage"),
    },
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("platform", howto.PLATFORMS)
def test_howto_by_mediapipe_is_whole_and_imports_what_it_uses(
    manifest: Manifest, platform: str, head: str
) -> None:
    """Compiled once by hand with Kotlin 2.3 against stubs of Android's and MediaPipe's classes, and parsed
    with tree-sitter's Swift grammar, in all of these kinds. What is of a project is compiled with it."""
    changed, variant = of(manifest, head)
    code = howto.snippet(platform, changed, variant, mediapipe=True)
    assert "<<" not in code
    if platform == "raspberry-pi":
        compile(code, "snippet.py", "exec")
        assert code.startswith("# pip install ")
        return
    for opening, closing in ("()", "[]", "{}"):
        assert code.count(opening) == code.count(closing)
    comments = re.compile(r'//.*|/\*\*.*|"(?:[^"\\]|\\.)*"')
    used = set(re.findall(r"(?<![\w.])[A-Z]\w+", comments.sub("", re.sub(r"(?m)^import .*", "", code))))
    imports = re.findall(r"(?m)^import (\S+)$", code)
    if platform == "android":
        brought = {name.rpartition(".")[2] for name in imports}
        assert 'dependencies { implementation("com.google.' in code
        for name in ("exp", "sqrt"):
            assert (f"kotlin.math.{name}" in imports) == bool(re.search(rf"\b{name}\(", code))
    else:
        brought = {name for module in imports for name in MODULES[module]}
        assert '// Podfile: pod "' in code
    assert used <= brought | OWN[platform]


@pytest.mark.parametrize(
    ("head", "kotlin"),
    [
        ("softmax", "return found.sortedByDescending"),
        ("logits", "exp(score - largest)"),
        ("binary", "if (yes > 0.4f) both.reversed() else both"),
        ("binary-logits", "1f / (1f + exp(-found[0].second))"),
        ("sigmoid", "filter { it.second > 0.4f }"),
        ("sigmoid-logits", "1f / (1f + exp(-score))"),
        ("embedding", ".floatEmbedding()"),
    ],
)
def test_howto_answer_is_what_the_head_means(manifest: Manifest, head: str, kotlin: str) -> None:
    assert kotlin in howto.snippet("android", *of(manifest, head), mediapipe=True)
    kind = head.replace("binary", "sigmoid")
    assert f'head = "{kind}",\n    threshold = 0.4f,' in howto.snippet("android", *of(manifest, head))
    facts = howto.facts(*of(manifest, head))
    assert ("labels" in facts.splitlines()[-1]) == (head != "embedding")
    assert ("above 0.4" in facts) == (head.startswith(("binary", "sigmoid")))


@pytest.mark.parametrize(
    ("head", "probability"),
    [
        ("binary", "yes = found[0][1]"),
        ("binary-logits", "yes = 1 / (1 + math.exp(-found[0][1]))"),
        ("sigmoid", "probability = score"),
        ("sigmoid-logits", "probability = 1 / (1 + math.exp(-score))"),
    ],
)
def test_howto_python_by_mediapipe_makes_probabilities_of_scores(
    manifest: Manifest, head: str, probability: str
) -> None:
    code = howto.snippet("raspberry-pi", *of(manifest, head), mediapipe=True)
    assert probability in [line.strip() for line in code.splitlines()]
    assert "> 0.4" in code


def test_howto_python_gives_embeddings_and_compares_them(
    bundle: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(bundle)
    Path("snippet.py").write_text(howto.snippet("raspberry-pi", *of(manifest, "embedding")))
    found = runpy.run_path("snippet.py")
    assert found["cosine"]([1.0, 2.0], [2.0, 4.0]) == pytest.approx(1)
    assert found["cosine"]([1.0, 0.0], [0.0, 4.0]) == 0


@pytest.mark.parametrize(
    "label", ['say "hi"', "back\\slash", "$money ${x}", "new\nline", "<<file>>", "\u732b"]
)
def test_howto_labels_are_literals_and_nothing_else(manifest: Manifest, label: str) -> None:
    changed, variant = of(manifest, "binary")
    changed = dataclasses.replace(changed, labels=(label, "yes"))
    for platform in ("android", "ios", "raspberry-pi"):
        code = howto.snippet(platform, changed, variant, mediapipe=True)
        (literal,) = {text for text in re.findall(r'"([^"\n]*)"', code) if _read(text) == label}
        assert "$" not in literal
    compile(code, "snippet.py", "exec")


def _read(literal: str) -> str:
    """What a literal of any of the three languages means."""
    return re.sub(r"\\[uU]\{?([0-9a-f]+)\}?", lambda m: chr(int(m[1], 16)), literal)


def test_howto_mediapipe_takes_no_grey_and_no_onnx(manifest: Manifest) -> None:
    with pytest.raises(BundleError, match="which takes grey; leave out --mediapipe"):
        howto.snippet("android", *of(manifest, "softmax", channels=1), mediapipe=True)
    onnx = next(v for v in manifest.variants if v.name == "onnx-int8")
    with pytest.raises(BundleError, match=r"expected a \.tflite file for MediaPipe"):
        howto.snippet("raspberry-pi", of(manifest, "softmax")[0], onnx, mediapipe=True)


@pytest.mark.parametrize("platform", ["android", "raspberry-pi"])
def test_howto_command_prints_a_file_that_is_code_from_its_first_line(
    run: Callable[..., tuple[int, str, str]], bundle: Path, platform: str
) -> None:
    status, said, _ = run("how-to", bundle, platform)
    assert status == 0
    mark = "// " if platform == "android" else "# "
    assert said.startswith(f"{mark}file    ")
    if platform == "raspberry-pi":
        compile(said, "snippet.py", "exec")
