"""Run by MediaPipe's own Python: labels and scores of each image, best first, by ImageClassifier.

It is told nothing but the file: size, scaling and labels are from the TFLite metadata. A job and
answers are JSON.
"""

from __future__ import annotations

import json
import sys

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision

job = json.load(sys.stdin)
answers = {}
for name, path in job["files"].items():
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=path))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        found = []
        for (pixels,) in job["batches"]:
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.array(pixels, np.uint8))
            categories = classifier.classify(image).classifications[0].categories
            found.append([(category.category_name, category.score) for category in categories])
    answers[name] = found
json.dump(answers, sys.stdout)
