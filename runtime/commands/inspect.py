"""`edgewright inspect`: what a model file or a bundle says of itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgewright.runtime import console

HELP = "show what a .tflite or .onnx file, or a bundle, says of itself"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", type=Path, metavar="FILE|BUNDLE", help="a .tflite, an .onnx or a bundle folder"
    )


def run(arguments: argparse.Namespace) -> int:
    from edgewright.runtime.files import mend

    mend(arguments.path)
    if arguments.path.is_dir():
        from edgewright.runtime.manifest import Bundle
        from edgewright.runtime.parity_table import print_parity

        bundle = Bundle.open(arguments.path)
        manifest = bundle.manifest
        for entry in (*(v.file for v in manifest.variants), manifest.golden):
            bundle.path(entry)
        rows = [(v.name, v.file.bytes, v.gzip_bytes, v.parity) for v in manifest.variants]
        print_parity(f"{manifest.name}: {arguments.path}", manifest.reference, rows)
    else:
        _file(arguments.path)
    return 0


def _file(path: Path) -> None:
    from edgewright.runtime import backends
    from edgewright.runtime.contract import TensorSpec

    def tensor(spec: TensorSpec) -> str:
        shape = "x".join("?" if size < 0 else str(size) for size in spec.shape)
        quantized = f", scale {spec.scale:.8g}, zero point {spec.zero_point}" if spec.scale else ""
        return f"{spec.name}: {spec.dtype} {shape}{quantized}"

    backend = backends.for_path(path)
    file = backend.read(path)
    contract = file.contract()
    operators = backend.operators(file)
    counts = sorted(operators.items(), key=lambda item: (-item[1], item[0]))
    lines = [("file", str(path)), ("bytes", f"{len(file.raw):,}"), *file.facts.items()]
    lines += [("input", tensor(spec)) for spec in file.inputs]
    lines += [("output", tensor(spec)) for spec in file.outputs]
    lines.append(
        ("operators", f"{sum(operators.values())}: " + ", ".join(f"{name} {n}" for name, n in counts))
    )
    lines.append(("metadata", ", ".join(sorted(file.metadata)) or "none"))
    if contract is None:
        lines.append(("contract", "none: input range and labels are unknown"))
    else:
        given = contract.input
        lines += [
            ("contract", f"{contract.name}, variant {contract.variant}; its SHA-256 is right"),
            ("pixels", f"{given.height}x{given.width}x{given.channels} uint8, {given.fit}, {given.resample}"),
            ("scores", f"{len(contract.labels)} {contract.head}"),
            ("labels", ", ".join(contract.labels)),
        ]
    for key, value in lines:
        console.say(f"{key:10} {value}".rstrip())
