"""Passes by name: which there are, what may stand before what, and what is refused before any work."""

from __future__ import annotations

import re

import pytest

from edgewright.export import passes, variants
from edgewright.runtime.errors import InputError, UnknownNameError


@pytest.mark.parametrize(
    "name",
    [
        "prune1+tflite-int8",
        "prune99+onnx-float32",
        "prune2x4+tflite-weight-int4",
        "cluster3+onnx-int8",
        "cluster255+tflite-float16",
        "finetune+tflite-float32",
        "finetune+prune80+cluster16+qat+tflite-int8",
    ],
)
def test_passes_stand_before_a_variant(name: str) -> None:
    (found,) = variants.parse(name)
    *chain, plain = name.split("+")
    assert (found.name, found.passes, found.chain) == (name, tuple(chain), "+".join(chain))
    assert f"{found.format}-{found.scheme}" == plain
    assert found.file.startswith(f"{name}.")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("prune0+tflite-int8", "expected prune1 to prune99, the percentage .* got 'prune0'"),
        ("prune100+tflite-int8", "prune1 to prune99"),
        ("prune-5+tflite-int8", "prune1 to prune99"),
        ("prune0.8+tflite-int8", "prune1 to prune99"),
        ("cluster2+tflite-int8", "expected cluster3 to cluster255"),
        ("cluster256+tflite-int8", "cluster3 to cluster255"),
        ("cluster16+prune80+tflite-int8", "expected prune80 before cluster16, got .*undoes"),
        ("qat+prune80+tflite-int8", "expected prune80 before qat"),
        ("qat+cluster16+tflite-int8", "expected cluster16 before qat"),
        ("prune80+finetune+tflite-int8", "expected finetune before prune80"),
        ("prune50+prune80+tflite-int8", "expected one of prune50 and prune80, got both"),
        ("qat+qat+tflite-int8", "expected one of qat and qat"),
        ("qat+tflite-float32", "expected qat before tflite-int8, got it before tflite-float32: "),
        ("qat+onnx-int8", "expected qat before tflite-int8"),
        ("prune80+qat", "expected a variant behind the passes, such as prune80.qat.tflite-int8"),
        ("qat", "expected a variant behind the passes"),
    ],
)
def test_passes_that_make_no_sense_are_refused_in_one_line(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        variants.parse(name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("prun80+tflite-int8", "unknown pass 'prun80'; did you mean 'prune80'"),
        ("prune4x2+tflite-int8", "did you mean 'prune2x4'"),
        ("quat+tflite-int8", "did you mean 'qat'"),
        ("+tflite-int8", "unknown pass ''"),
        ("prune80+tflite-int", "unknown variant 'tflite-int'; did you mean 'tflite-int8'"),
        ("prune80+", "unknown variant ''"),
    ],
)
def test_passes_of_an_unknown_name_get_the_nearest_one(name: str, says: str) -> None:
    with pytest.raises(UnknownNameError, match=re.escape(says)):
        variants.parse(name)


def test_passes_examples_are_each_of_their_own_family_alone() -> None:
    families = passes._families()
    for family in families:
        for example in family.examples:
            assert [other.takes(example) for other in families].count(True) == 1
            assert passes.get(example) is family
