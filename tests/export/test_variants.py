"""Variants by name: the six defaults in their order, and the nearest name for a slip."""

from __future__ import annotations

import pytest

from edgewright.export import variants
from edgewright.runtime.errors import UnknownNameError

SIX = [
    "tflite-float32",
    "tflite-float16",
    "tflite-dynamic-int8",
    "tflite-int8",
    "onnx-float32",
    "onnx-int8",
]


def test_variants_defaults_are_these_six_in_this_order() -> None:
    assert [variant.name for variant in variants.defaults()] == SIX


def test_variants_parse_keeps_the_order_of_a_list_and_holds_each_once() -> None:
    found = variants.parse("onnx-int8, tflite-float32,onnx-int8 ,tflite-float32")
    assert [variant.name for variant in found] == ["onnx-int8", "tflite-float32"]


def test_variants_all_stands_for_every_variant_but_for_mixed_ones_which_come_where_they_are_needed() -> None:
    every = [variant for variant in variants.known().values() if not variant.settings.mixed]
    assert variants.parse("all") == every
    assert variants.parse("onnx-int8,all")[0].name == "onnx-int8"
    assert len(variants.parse("onnx-int8,all")) == len(every)


def test_variants_static_ones_get_a_mixed_one_beside_them_and_trained_ranges_do_not() -> None:
    asked = variants.parse("prune80+tflite-int8,onnx-int8,qat+tflite-int8,tflite-int16x8,onnx-int8-u8s8")
    assert [variant.name for variant in variants.with_mixed(asked)] == [
        "prune80+tflite-int8",
        "prune80+tflite-int8-mixed",
        "onnx-int8",
        "onnx-int8-mixed",
        "qat+tflite-int8",
        "tflite-int16x8",
        "onnx-int8-u8s8",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tflite-int88", "unknown variant 'tflite-int88'; did you mean 'tflite-int8'"),
        ("onnx-float32,onnx-float23", "did you mean 'onnx-float32'"),
        ("tflite-int8,", "unknown variant ''"),
        ("zzz", "unknown variant 'zzz'; known: onnx-dynamic-int8, onnx-float16,"),
    ],
)
def test_variants_parse_of_an_unknown_variant_gets_the_nearest_one(text: str, says: str) -> None:
    with pytest.raises(UnknownNameError, match=says):
        variants.parse(text)


def test_a_variant_names_its_file_by_its_format() -> None:
    assert {variant.file for variant in variants.parse("tflite-int8,onnx-int8")} == {
        "tflite-int8.tflite",
        "onnx-int8.onnx",
    }


def test_variants_of_integer_schemes_are_calibrated_and_no_other() -> None:
    calibrated = [variant.name for variant in variants.defaults() if variant.settings.calibrated]
    assert calibrated == ["tflite-int8", "onnx-int8"]
