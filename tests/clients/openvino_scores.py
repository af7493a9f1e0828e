"""Run by OpenVINO's own Python: its scores of each file and batch of images. A job and answers are JSON."""

from __future__ import annotations

import json
import sys

import numpy as np
import openvino

job = json.load(sys.stdin)
core = openvino.Core()
# The defaults are bfloat16 where the processor has it, and activations in 8 bits before 8-bit weights.
core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"})
answers = {}
for name, path in job["files"].items():
    model = core.compile_model(path, "CPU")
    runs = [model([np.array(batch, model.input(0).element_type.to_dtype())]) for batch in job["batches"]]
    answers[name] = [row.tolist() for run in runs for row in run[0]]
json.dump(answers, sys.stdout)
