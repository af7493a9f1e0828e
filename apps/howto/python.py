"""Python for a Raspberry Pi and the like: Edgewright's own runtime, or MediaPipe Tasks."""

from __future__ import annotations

from edgewright.apps.facts import Code, Given, filled

_RUNTIME = """
# pip install "edgewright[<<extra>>]"
# <<file>> is all it needs: its contract and labels are inside
from edgewright.runtime import load

with load("<<file>>") as model:
    for found in model.predict("picture.jpg", k=3):
        print(found.label, found.probability)
"""
_VECTORS = """
# pip install "edgewright[<<extra>>]"
# <<file>> is all it needs: its contract is inside
from edgewright.runtime import load
from edgewright.runtime.preprocess import to_pixels

with load("<<file>>") as model:
    a, b = (model.scores(to_pixels(name, model.contract.input))[0] for name in ("picture.jpg", "other.jpg"))
print((a @ b) / ((a @ a) * (b @ b)) ** 0.5)  # how alike they are, from -1 to 1
"""
_MEDIAPIPE = """
# pip install mediapipe
# <<file>> is all it needs: size, scaling and labels are read from its metadata<<shape>>
<<imports>>import mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision

options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path="<<file>>"))
with vision.ImageClassifier.create_from_options(options) as classifier:
    result = classifier.classify(mp.Image.create_from_file("picture.jpg"))
found = [(one.category_name, one.score) for one in result.classifications[0].categories]
<<answer>>
"""
_EMBEDDER = """
# pip install mediapipe
# <<file>> is all it needs: size and scaling are read from its metadata<<shape>>
import mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision

options = vision.ImageEmbedderOptions(base_options=BaseOptions(model_asset_path="<<file>>"))
with vision.ImageEmbedder.create_from_options(options) as embedder:
    result = embedder.embed(mp.Image.create_from_file("picture.jpg"))
print(result.embeddings[0].embedding)
"""
_BINARY = """yes = <<yes_of>>
print(<<yes>> if yes > <<threshold>> else <<no>>, yes)"""
_SEVERAL = """for label, score in found:
    probability = <<each>>
    if probability > <<threshold>>:
        print(label, probability)"""
_ANSWERS = {
    "softmax": """for label, probability in found[:3]:
    print(label, probability)""",
    "logits": """largest = max(score for _, score in found)
powers = [(label, math.exp(score - largest)) for label, score in found]
for label, power in powers[:3]:
    print(label, power / sum(each for _, each in powers))""",
    "binary": _BINARY.replace("<<yes_of>>", "found[0][1]"),
    "binary-logits": _BINARY.replace("<<yes_of>>", "1 / (1 + math.exp(-found[0][1]))"),
    "sigmoid": _SEVERAL.replace("<<each>>", "score"),
    "sigmoid-logits": _SEVERAL.replace("<<each>>", "1 / (1 + math.exp(-score))"),
    "embedding": "",
}


def _write(given: Given, mediapipe: bool) -> str:
    head, values = given.head, given.common("\\u{:04x}")
    values |= {
        "extra": given.suffix.removeprefix("."),
        "imports": "import math\n\n" if "logits" in head.kind else "",
        "shape": ""
        if given.manifest.input.fit == "stretch"
        else f"\n# the picture is brought to shape before: {given.fit}",
    }
    values["answer"] = filled(_ANSWERS[given.answer], values).rstrip()
    if mediapipe:
        return filled(_EMBEDDER if head.is_embedding else _MEDIAPIPE, values)
    return filled(_VECTORS if head.is_embedding else _RUNTIME, values)


CODE = Code(suffixes=(".tflite", ".onnx"), one_image=False, write=_write)
