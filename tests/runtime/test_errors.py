"""Errors say what is known and what to do; there is one tree of them."""

from __future__ import annotations

import inspect

import pytest

from edgewright.runtime import errors
from edgewright.runtime.errors import (
    EdgewrightError,
    InputError,
    MissingExtraError,
    UnknownNameError,
    UnprovenWarning,
)

VARIANTS = ("tflite-int8", "tflite-float32", "onnx-int8")


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("tflite-int9", "tflite-int8"),
        ("onx-int8", "onnx-int8"),
        ("tflite-flaot32", "tflite-float32"),
        ("TFLITE-int8", "tflite-int8"),
    ],
)
def test_unknown_name_error_suggests_the_nearest_known_one(given: str, nearest: str) -> None:
    message = str(UnknownNameError("variant", given, VARIANTS))
    assert message.startswith(f"unknown variant '{given}'; did you mean '{nearest}'?")
    assert message.endswith("known: onnx-int8, tflite-float32, tflite-int8")


@pytest.mark.parametrize("given", ["", "zzzz", "x" * 1000])
def test_unknown_name_error_of_a_name_like_no_known_one_gives_the_list_and_no_guess(given: str) -> None:
    message = str(UnknownNameError("variant", given, VARIANTS))
    assert "did you mean" not in message
    assert message.endswith("known: onnx-int8, tflite-float32, tflite-int8")


def test_unknown_name_error_where_nothing_is_known_says_none() -> None:
    assert str(UnknownNameError("pass", "qat", [])) == "unknown pass 'qat'; known: none"


def test_missing_extra_error_names_the_pip_command() -> None:
    failure = MissingExtraError("onnxruntime, which runs .onnx files,", "onnx")
    assert str(failure).endswith("is not installed; run: pip install 'edgewright[onnx]'")
    assert failure.extra == "onnx"


def test_every_error_stands_in_the_tree_that_the_module_draws() -> None:
    assert issubclass(UnknownNameError, InputError)
    for name, found in inspect.getmembers(errors, inspect.isclass):
        if found.__module__ == errors.__name__:
            assert issubclass(found, EdgewrightError | UnprovenWarning)
            assert name in (errors.__doc__ or "")
