"""`edgewright inspect`: what a model file or a bundle says of itself, and what is in it."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console

if TYPE_CHECKING:
    from edgewright.runtime.graph import Shape
    from edgewright.runtime.inspection import Inspection

HELP = "show what is in a .tflite or .onnx file, or in each file of a bundle"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", type=Path, metavar="FILE|BUNDLE", help="a .tflite, an .onnx or a bundle folder"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all that is known, as one JSON object")
    form.add_argument(
        "--layers", action="store_true", help="a row an operator: output, multiply-accumulates, bytes"
    )
    form.add_argument("--tensors", action="store_true", help="a row a tensor: dtype, shape, quantization")


def run(arguments: argparse.Namespace) -> int:
    show = _bundle if arguments.path.is_dir() else _file
    show(arguments.path, arguments)
    return 0


def _bundle(path: Path, arguments: argparse.Namespace) -> None:
    from edgewright.runtime.bundle.manifest import MANIFEST, Bundle, Manifest
    from edgewright.runtime.bundle.parity_table import LIMITS_NARROW, NARROW, limits_table, parity_table
    from edgewright.runtime.disk import outside
    from edgewright.runtime.inspection import inspect
    from edgewright.runtime.signing import described

    def look() -> tuple[Manifest, dict[str, Inspection]]:
        bundle = Bundle.open(path)
        bundle.path(bundle.manifest.golden)
        return bundle.manifest, {v.name: inspect(bundle.path(v.file)) for v in bundle.manifest.variants}

    manifest, found = outside.settled(path, look, MANIFEST)
    attested = {"provenance": manifest.slsa_provenance, "sbom": manifest.sbom}
    if arguments.json:
        entries = [
            {"variant": v.name, "parity": dataclasses.asdict(v.parity), **found[v.name].to_json()}
            for v in manifest.variants
        ]
        beside = {what: entry and entry.file for what, entry in attested.items()}
        told = {"bundle": str(path), "name": manifest.name, "signature": described(path), **beside}
        _print_json({**told, "files": entries})
        return
    rows = [(v.name, v.file.bytes, v.gzip_bytes, v.parity) for v in manifest.variants]
    parity = parity_table(f"{manifest.name}: {path}", manifest.reference, rows, manifest.judging)
    console.table(*parity, drop=NARROW, also="--json")
    columns = ("file", "multiply-accumulates", "peak activation bytes", "operators", "XNNPACK")
    summaries = [
        (one.file.path.name, one.macs(), one.peak(), str(len(one.graph.nodes)), one.left())
        for one in found.values()
    ]
    narrow = ("operators", "peak activation bytes")
    console.table("What is in the files", columns, summaries, drop=narrow, also="--json")
    judged = [(v.name, v.parity) for v in manifest.variants]
    console.table(*limits_table("What else was judged", judged), drop=LIMITS_NARROW, also="--json")
    for variant in manifest.variants:
        if variant.not_for_gpu:
            console.say(f"{variant.name} is not for GPU: {variant.not_for_gpu}")
    console.say(f"signature: {described(path)}")
    for what, entry in attested.items():
        console.say(f"{what}: {path / entry.file if entry else 'none'}")
    for one in found.values():
        _details(one, arguments)


def _file(path: Path, arguments: argparse.Namespace) -> None:
    from edgewright.runtime.inspection import inspect

    found = inspect(path)
    if arguments.json:
        _print_json(found.to_json())
        return
    for key, value in _lines(found):
        console.say(f"{key:10} {value}".rstrip())
    _details(found, arguments)


def _lines(found: Inspection) -> list[tuple[str, str]]:
    from edgewright.runtime.contract import UNPROVEN, TensorSpec
    from edgewright.runtime.contract.labels import quoted

    def tensor(spec: TensorSpec) -> str:
        quantized = f", scale {spec.scale:.8g}, zero point {spec.zero_point}" if spec.scale else ""
        return f"{spec.name}: {spec.dtype} {_shape(spec.shape)}{quantized}"

    file, contract = found.file, found.contract
    lines = [("file", str(file.path)), ("bytes", f"{len(file.raw):,}"), *file.facts.items()]
    lines += [("input", tensor(spec)) for spec in file.inputs]
    lines += [("output", tensor(spec)) for spec in file.outputs]
    lines += [
        ("operators", f"{len(found.graph.nodes)}: {found.operators()}"),
        ("macs", f"{found.macs()} (multiply-accumulates of a run)"),
        ("peak", f"{found.peak()} (bytes of activations at one moment)"),
        ("constants", f"{found.constants()} (bytes)"),
        ("XNNPACK", found.left()),
        *(("note", note) for note in found.graph.notes),
        ("metadata", ", ".join(sorted(file.metadata)) or "none"),
        ("trusted", found.trusted()),
    ]
    if contract is None:
        return [*lines, ("contract", "none"), *found.guessed()]
    given = contract.input
    return [
        *lines,
        ("contract", f"{contract.name}, variant {contract.variant}; its SHA-256 is right"),
        *([] if contract.is_proven else [("verdict", f"{contract.verdict}: {UNPROVEN}")]),
        ("pixels", f"{given.height}x{given.width}x{given.channels} uint8, {given.fit}, {given.resample}"),
        ("scores", f"{len(contract.labels)} {contract.head}"),
        ("labels", quoted(contract.labels)),
    ]


def _details(found: Inspection, arguments: argparse.Namespace) -> None:
    """The tables that were asked for."""
    name = found.file.path.name
    if arguments.layers:
        rows = [
            (
                layer.operator,
                f"{layer.dtype} {_shape(layer.shape)}",
                "?" if layer.macs is None else f"{layer.macs:,}",
                f"{layer.stored_bytes:,}",
                layer.output,
            )
            for layer in found.graph.layers()
        ]
        columns = ("operator", "output", "multiply-accumulates", "constant bytes", "tensor")
        console.table(f"Operators of {name}, as they run", columns, rows, left=2, also="--json")
    if arguments.tensors:
        kinds = [
            (
                tensor.name,
                tensor.dtype,
                _shape(tensor.shape),
                "-" if tensor.stored_bytes is None else f"{tensor.stored_bytes:,}",
                tensor.quantization or "-",
            )
            for tensor in found.graph.tensors.values()
        ]
        columns = ("tensor", "dtype", "shape", "constant bytes", "quantization")
        console.table(f"Tensors of {name}", columns, kinds, left=3, also="--json")


def _shape(shape: Shape | None) -> str:
    if shape is None:
        return "?"
    return "x".join("?" if size < 0 else str(size) for size in shape) or "scalar"


def _print_json(data: dict[str, object]) -> None:
    import json

    console.say(json.dumps(data))
