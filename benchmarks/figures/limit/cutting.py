"""A .tflite file taken apart: a file of each operator, with the same shapes and constants."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np


def operators(raw: bytes) -> Iterator[bytes]:
    """A file of each operator alone, in the order they run; what it reads that is no constant is an input."""
    from ai_edge_litert.tools import flatbuffer_utils

    whole = flatbuffer_utils.read_model_from_bytearray(bytearray(raw))
    whole.signatureDefs, whole.metadata, whole.metadataBuffer = [], [], None
    for operator in whole.subgraphs[0].operators:
        yield bytes(flatbuffer_utils.convert_object_to_bytearray(_alone(whole, operator)))


def _alone(whole: Any, operator: Any) -> Any:
    """A model of the tensors and buffers that one operator touches."""
    model, graph = copy.copy(whole), copy.copy(whole.subgraphs[0])
    model.subgraphs = [graph]
    touched = [int(i) for i in dict.fromkeys([*operator.inputs, *operator.outputs]) if i >= 0]
    place = {old: new for new, old in enumerate(touched)}
    buffers, graph.tensors = [whole.buffers[0]], []
    for old in touched:
        tensor = copy.copy(whole.subgraphs[0].tensors[old])
        buffers.append(whole.buffers[tensor.buffer])
        tensor.buffer = len(buffers) - 1
        graph.tensors.append(tensor)
    model.buffers = buffers
    one = copy.copy(operator)
    one.inputs = np.array([place.get(int(i), -1) for i in operator.inputs], np.int32)
    one.outputs = np.array([place[int(i)] for i in operator.outputs], np.int32)
    graph.operators = [one]
    computed = (i for i in one.inputs if i >= 0 and not _is_constant(model, graph.tensors[i]))
    graph.inputs, graph.outputs = np.array(list(dict.fromkeys(computed)), np.int32), one.outputs
    return model


def _is_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0
