"""Distillation in 4 bits is for files of 4 bits, and stands where training in 4 bits does."""

from __future__ import annotations

import pytest

from edgewright.export import passes, variants
from edgewright.runtime.errors import InputError


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("distill4+onnx-int8", "expected distill4 before tflite-weight-int4 or onnx-weight-int4"),
        ("distill4+qat4+onnx-weight-int4", "expected one of distill4 and qat4, got both"),
        ("distill4+prune60+onnx-weight-int4", "expected prune60 before distill4"),
    ],
)
def test_distill4_is_for_files_of_4_bits(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        variants.parse(name)
    (found,) = variants.parse("prune60+distill4+tflite-weight-int4")
    assert found.passes == ("prune60", "distill4")


def test_distill4_alone_of_all_passes_wants_no_labels() -> None:
    names = ("prune80", "cluster16", "qat", "qat4", "distill4", "finetune")
    assert [name for name in names if not passes.get(name).labelled] == ["distill4"]
