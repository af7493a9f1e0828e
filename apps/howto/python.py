"""MediaPipe Tasks in Python, for a Raspberry Pi and the like."""

from __future__ import annotations

from edgewright.apps.facts import Given, filled

_MEDIAPIPE = """
# pip install mediapipe
# <<file>> is all it needs: size, scaling and labels are read from its metadata<<shape>>
<<imports>>import mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision

options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=<<file>>))
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

options = vision.ImageEmbedderOptions(base_options=BaseOptions(model_asset_path=<<file>>))
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


def write(given: Given) -> str:
    """The source file."""
    head, values = given.head, given.common("\\U{:08x}")
    values |= {
        "imports": "import math\n\n" if "logits" in head.kind else "",
        "shape": ""
        if given.manifest.input.fit == "stretch"
        else f"\n# the picture is brought to shape before: {given.fit}",
    }
    values["answer"] = filled(_ANSWERS[given.answer], values).rstrip()
    return filled(_EMBEDDER if head.is_embedding else _MEDIAPIPE, values)
