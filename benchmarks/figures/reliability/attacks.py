"""The attacks that are counted: which target is given what, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgewright.benchmarks.figures.reliability import mutation
from edgewright.benchmarks.figures.reliability.targets import TARGETS, Target

Random = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Attack:
    """`inputs` are tried; `make` changes a whole input of the target's."""

    name: str
    target: Target
    inputs: int
    make: Callable[[bytes, Random], bytes]

    def input(self, number: int) -> bytes:
        """The same bytes for the same number."""
        random = np.random.default_rng(number)
        seeds = self.target.seeds()
        return self.target.stamped(self.make(seeds[int(random.integers(len(seeds)))], random))


def _costly(raw: bytes, random: Random) -> bytes:
    """A megabyte of fields of two bytes each in a message of the file."""
    number = int(random.integers(1, 17))
    field = bytes([number << 3 | 2, 0]) if number < 16 else bytes([number << 3 & 0x7F | 0x82, 1, 0])
    inner = field * (2**20 // len(field))
    graph = mutation.varint(7 << 3 | 2) + mutation.varint(len(inner)) + inner
    return b"\x08\x08" + graph if random.integers(2) else raw + field * (2**20 // len(field))


ATTACKS = {
    name: Attack(name=name, target=TARGETS[target], inputs=inputs, make=make)
    for name, target, inputs, make in (
        ("onnx-bytes", "onnx", 25_000, mutation.mutated),
        ("onnx-fields", "onnx", 25_000, mutation.protobuf),
        ("onnx-costly", "onnx", 100, _costly),
        ("tflite-bytes", "tflite", 20_000, mutation.mutated),
        ("tflite-offsets", "tflite", 20_000, mutation.flatbuffer),
        ("manifest", "manifest", 8_000, mutation.json_text),
        ("contract", "contract", 8_000, mutation.json_text),
        ("picture", "picture", 10_000, mutation.mutated),
    )
}
