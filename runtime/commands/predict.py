"""`edgewright predict`: labels for pictures."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from edgewright.runtime import console
from edgewright.runtime.errors import ImageError

HELP = "label pictures with a bundle or one .tflite or .onnx file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, metavar="BUNDLE|FILE", help="a bundle folder, a .tflite or an .onnx"
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="pictures (JPEG, PNG, ...)")
    parser.add_argument(
        "--top", type=int, default=3, metavar="K", help="how many classes (default: %(default)s)"
    )
    parser.add_argument(
        "--variant", help="which of the bundle's variants (default: the smallest that runs here)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of the interpreter (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a picture and line")


def run(arguments: argparse.Namespace) -> int:
    from edgewright.runtime.predictor import load

    status = 0
    with load(arguments.model, threads=arguments.threads, variant=arguments.variant) as predictor:
        for image in arguments.images:
            try:
                best = predictor.predict(image, k=arguments.top)
            except ImageError as failure:
                console.complain(str(failure))
                status = 1
                continue
            if arguments.json:
                found = {"image": image, "predictions": [dataclasses.asdict(p) for p in best]}
                console.say(json.dumps(found))
            else:
                console.say(f"{image}: " + ", ".join(f"{p.label} {p.probability:.3f}" for p in best))
    return status
