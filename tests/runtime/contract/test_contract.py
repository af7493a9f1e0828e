"""The contract inside a model file says what it says, and its hash finds every changed byte."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from edgewright.runtime.contract import (
    SCHEMA_VERSION,
    ZERO_HASH,
    InputContract,
    ModelContract,
    TensorSpec,
    stamp,
    stamp_is_right,
)
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import BundleError, ModelFileError


def read(raw: bytes, where: str) -> ModelContract:
    return ModelContract.from_json(jsonio.parse(raw, f"the contract inside {where}", ModelFileError))


CONTRACT = ModelContract(
    name="fashion",
    variant="tflite-int8",
    input=InputContract(height=28, width=30, channels=1, fit="crop", resample="lanczos"),
    labels=("Stiefel, groß", "bag"),
    head="logits",
)


def changed(key: str, value: Any) -> bytes:
    """The contract with one value replaced; "input.height" is the height inside the input."""
    data = json.loads(CONTRACT.to_bytes())
    inner = data["input"] if key.startswith("input.") else data
    inner[key.removeprefix("input.")] = value
    return json.dumps(data).encode()


def test_a_contract_survives_being_written_and_read() -> None:
    assert read(CONTRACT.to_bytes(), "a file") == CONTRACT


def test_a_tensor_spec_survives_being_written_and_read() -> None:
    spec = TensorSpec(name="image", shape=(1, 28, 28, 1), dtype="uint8", scale=1 / 255, zero_point=-128)
    assert TensorSpec.from_json(jsonio.JsonObject(spec.to_json(), "here", BundleError)) == spec


def test_contract_ignores_additions_to_the_schema() -> None:
    assert read(changed("mood", "good"), "a file") == CONTRACT


def test_contract_of_a_newer_schema_is_refused_and_says_how_to_cure_it() -> None:
    with pytest.raises(ModelFileError, match=r"newer edgewright; run: pip install --upgrade"):
        read(changed("schema_version", SCHEMA_VERSION + 1), "a file")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema_version", 0),
        ("schema_version", "1"),
        ("name", None),
        ("variant", 3),
        ("labels", []),
        ("labels", ["a", 1]),
        ("head", "tanh"),
        ("input", [28, 28, 1]),
        ("input.height", 0),
        ("input.width", 2**14 + 1),
        ("input.channels", 2),
        ("input.channels", 4),
        ("input.fit", "fill"),
        ("input.resample", "best"),
    ],
)
def test_a_broken_contract_is_refused_and_the_key_named(key: str, value: Any) -> None:
    with pytest.raises(
        ModelFileError, match=f"'?{key.removeprefix('input.')}'?.* in the contract inside a file"
    ):
        read(changed(key, value), "a file")


def test_the_stamp_is_the_hash_of_the_file_with_the_field_zeroed() -> None:
    raw = b"weights" + CONTRACT.to_bytes() + b"more weights"
    digest = hashlib.sha256(raw).hexdigest()
    assert stamp(raw) == raw.replace(ZERO_HASH.encode(), digest.encode())
    assert stamp_is_right(stamp(raw), digest)


def test_stamp_finds_any_flipped_bit_of_a_file() -> None:
    raw = stamp(b"weights" + CONTRACT.to_bytes() + b"more weights")
    digest = json.loads(raw[len(b"weights") : -len(b"more weights")])["sha256"]
    place = raw.index(digest.encode())
    assert stamp_is_right(raw, digest)
    for position in range(len(raw)):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[position] ^= 1 << bit
            carried = flipped[place : place + 64].decode("latin-1")
            assert not stamp_is_right(bytes(flipped), carried), (position, bit)


def test_stamp_of_a_file_that_carries_its_hash_twice_is_not_right() -> None:
    raw = 2 * CONTRACT.to_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    assert not stamp_is_right(raw.replace(ZERO_HASH.encode(), digest.encode()), digest)


@pytest.mark.parametrize("raw", [b"", b"no field", 2 * CONTRACT.to_bytes()])
def test_stamp_takes_only_a_file_with_one_unset_hash_field(raw: bytes) -> None:
    with pytest.raises(ValueError, match="one unset hash field"):
        stamp(raw)


@pytest.mark.parametrize(
    "sha256",
    ["", "0" * 64, "0" * 63, "z" * 64, "\ud800" * 64, "ß" * 32],
    ids=["empty", "zeros", "short", "no digits", "lone surrogates", "64 bytes of umlauts"],
)
def test_stamp_that_is_not_the_files_hash_is_wrong_and_nothing_worse(sha256: str) -> None:
    assert not stamp_is_right(stamp(CONTRACT.to_bytes()), sha256)
