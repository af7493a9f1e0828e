"""Files taken apart and put together again compute what they computed before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export.exporter import Result
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.train.datasets import Dataset, Images

Score = Callable[[Path, Images], NDArray[np.float32]]


@pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic-int8", "int8"])
def test_tflite_tree_writing_what_was_read_changes_no_score(
    exported: tuple[Path, Result], scheme: str, tmp_path: Path, score: Score, fashion_mini: Dataset
) -> None:
    original, copy = exported[0] / f"tflite-{scheme}.tflite", tmp_path / "copy.tflite"
    copy.write_bytes(tflite_tree.write(tflite_tree.read(original.read_bytes())))
    few = fashion_mini.x_test[:50]
    np.testing.assert_array_equal(score(copy, few), score(original, few))


def test_tflite_tree_takes_in_constants_that_lie_behind_the_model(
    exported: tuple[Path, Result], tmp_path: Path, score: Score, fashion_mini: Dataset
) -> None:
    """Some quantizers put large constants after the FlatBuffer and refer to them by offset."""
    tree = tflite_tree.read((exported[0] / "tflite-float32.tflite").read_bytes())
    largest = max(tree.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
    weights, largest.data = bytes(largest.data), None
    largest.offset, largest.size = 2, len(weights)  # other values would not be stored
    start = -(-len(tflite_tree.write(tree)) // 16) * 16
    largest.offset = start
    raw = tflite_tree.write(tree).ljust(start, b"\0") + weights

    outside, inside = tmp_path / "outside.tflite", tmp_path / "inside.tflite"
    outside.write_bytes(raw)
    inside.write_bytes(tflite_tree.write(tflite_tree.read(raw)))
    few = fashion_mini.x_test[:50]
    expected = score(exported[0] / "tflite-float32.tflite", few)
    np.testing.assert_array_equal(score(outside, few), expected)
    np.testing.assert_array_equal(score(inside, few), expected)


def test_tflite_tree_operators_come_in_order_with_their_schema_names(exported: tuple[Path, Result]) -> None:
    tree = tflite_tree.read((exported[0] / "tflite-float32.tflite").read_bytes())
    names = [op.name for op in tflite_tree.operators(tree)]
    assert names == ["CAST", "MUL", "RESHAPE", "FULLY_CONNECTED", "FULLY_CONNECTED", "SOFTMAX"]


def test_tflite_tree_constant_sizes_are_by_their_shape(exported: tuple[Path, Result]) -> None:
    tree = tflite_tree.read((exported[0] / "tflite-float32.tflite").read_bytes())
    sizes = sorted(tflite_tree.constant_sizes(tree).values(), reverse=True)
    assert sizes[:4] == [784 * 256, 2560, 256, 10]


def test_tflite_tree_set_quantization_is_read_back_from_the_written_file(
    exported: tuple[Path, Result],
) -> None:
    tree = tflite_tree.read((exported[0] / "tflite-int8.tflite").read_bytes())
    index = tflite_tree.operators(tree)[-1].inputs[0]
    tflite_tree.set_quantization(tree, index, 0.125, -7)
    again = tflite_tree.read(tflite_tree.write(tree))
    assert tflite_tree.quantization(again, index) == (0.125, -7)


def test_tflite_tree_quantization_of_a_tensor_that_is_not_quantized_has_scale_zero(
    exported: tuple[Path, Result],
) -> None:
    tree = tflite_tree.read((exported[0] / "tflite-float32.tflite").read_bytes())
    assert tflite_tree.quantization(tree, tree.subgraphs[0].inputs[0]) == (0.0, 0)


def test_tflite_tree_set_metadata_keeps_other_names(exported: tuple[Path, Result]) -> None:
    tree = tflite_tree.read((exported[0] / "tflite-float32.tflite").read_bytes())
    tflite_tree.set_metadata(tree, {"mine": b"one"})
    tflite_tree.set_metadata(tree, {"mine": b"two"})
    again = tflite_tree.read(tflite_tree.write(tree))
    found = {bytes(e.name).decode(): bytes(again.buffers[e.buffer].data) for e in again.metadata}
    assert found["mine"] == b"two"
    assert {"TFLITE_METADATA", "edgewright"} <= set(found)


def test_tflite_tree_every_constant_begins_at_a_multiple_of_16_bytes(exported: tuple[Path, Result]) -> None:
    """The schema demands it; kernels for small devices rely on it."""
    from ai_edge_litert import schema_py_generated as schema

    for path in exported[0].glob("*.tflite"):
        model = schema.Model.GetRootAsModel(bytearray(path.read_bytes()), 0)
        buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
        starts = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
        assert len(starts) > 4
        assert {start % 16 for start in starts} == {0}, path.name


def test_tflite_tree_names_are_cut_to_the_first_fused_operation_and_stay_apart(
    exported: tuple[Path, Result],
) -> None:
    tree = tflite_tree.read((exported[0] / "tflite-int8.tflite").read_bytes())
    tensors = tree.subgraphs[0].tensors
    for tensor, name in zip(tensors, ("a;b", "a;c", "a:1", "d"), strict=False):
        tensor.name = name
    tflite_tree.shorten_names(tree)
    names = [tflite_tree.tensor_name(tree, index) for index in range(len(tensors))]
    assert names[:4] == ["a", "a:1", "a:1:2", "d"]
    assert len(set(names)) == len(names)
    assert not any(";" in name for name in names)


def test_tflite_tree_numbers_every_operator_in_the_older_field_too(exported: tuple[Path, Result]) -> None:
    tree = tflite_tree.read((exported[0] / "tflite-int8.tflite").read_bytes())
    numbers = [code.builtinCode for code in tree.operatorCodes]
    tree.operatorCodes[0].builtinCode = 150  # too high for the older field
    for code in tree.operatorCodes:
        code.deprecatedBuiltinCode = 0
    written = tflite_tree.read(tflite_tree.write(tree))
    assert [code.deprecatedBuiltinCode for code in written.operatorCodes] == [127, *numbers[1:]]
