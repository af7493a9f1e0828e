"""Which operators of a SavedModel do more than compute, and where it leaves its folder; nothing of it is run.

`tf.saved_model.load` runs initializers, and an operator may read, write or call what it likes. So the file is
read first, by the very protobuf reader that TensorFlow takes, in all of its graphs and functions.
Format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/saved_model.proto
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewright.export.network.computing import CHECKPOINT, COMPUTING, READS_CHECKPOINT
from edgewright.runtime.disk import outside
from edgewright.runtime.errors import ExportError

_FILE, _ASSETS, _ASSETS_KEY = "saved_model.pb", "assets", "saved_model_assets"
_SHOWN = 6  # operators that a message names
_TRUST = "if you trust it, add --unsafe-load"


def lets_through(folder: Path) -> tuple[str, ...]:
    """What loading the SavedModel would let it do beside computing: operators with where they stand, and
    paths out of its folder. Empty if there is nothing of the kind.

    Raises:
        ExportError: it cannot be read.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / _FILE
    raw = outside.read(path, ExportError, outside.MAX_MODEL_BYTES)
    try:
        saved = saved_model_pb2.SavedModel.FromString(raw)
    except Exception as failure:  # protobuf raises what it likes
        raise ExportError(f"TensorFlow cannot load {folder}: {_FILE} is damaged or cut off") from failure
    found: dict[str, None] = {}
    for meta in saved.meta_graphs:
        found.update(dict.fromkeys(_acting(meta)))
        found.update(dict.fromkeys(_assets_outside(folder, meta)))
    return (*found, *_entries_outside(folder))


def refuse(folder: Path, found: Sequence[str]) -> None:
    """Raises `ExportError`: anything was `found` of what `lets_through` looks for."""
    if found:
        more = f" and {len(found) - _SHOWN} more" * (len(found) > _SHOWN)
        raise ExportError(
            f"expected a SavedModel that only computes, got {', '.join(found[:_SHOWN])}{more} in {folder}: "
            f"it could read, write or run what it likes; save the network without, or {_TRUST}"
        )


def _acting(meta: Any) -> Iterator[str]:
    """Operators that are not known to compute only. Those that read or write a checkpoint are in every file,
    but nothing that is loaded or called may lead to them: save is never run, restore only reads variables."""
    from tensorflow.python.framework import op_def_registry

    functions = {function.signature.name: function.node_def for function in meta.graph_def.library.function}
    follow = _follower(meta, functions)
    nodes = {node.name: node for node in meta.graph_def.node}
    restores = {_node_name(meta.saver_def.restore_op_name)}
    called = set(meta.object_graph_def.concrete_functions)
    run = follow(_behind(nodes, _run_by_name(meta)), called)
    restored = follow(_behind(nodes, restores), ())
    for place, name, node in _everything(meta):
        known = COMPUTING
        if (place, name) not in run:
            known = COMPUTING | (READS_CHECKPOINT if (place, name) in restored else CHECKPOINT)
        is_call = node.op in functions and op_def_registry.get(node.op) is None  # of no operator's name
        if node.op not in known and not is_call:
            yield f"{node.op} ({f'function {place}' if place else 'main graph'})"


def _everything(meta: Any) -> Iterator[tuple[str, str, Any]]:
    """Every node with the function it is in (empty: the main graph) and its name."""
    for node in meta.graph_def.node:
        yield "", node.name, node
    for function in meta.graph_def.library.function:
        for node in function.node_def:
            yield function.signature.name, node.name, node


def _follower(
    meta: Any, functions: Mapping[str, Iterable[Any]]
) -> Callable[[Iterable[Any], Iterable[str]], set[tuple[str, str]]]:
    gradients: defaultdict[str, set[str]] = defaultdict(set)
    for gradient in meta.graph_def.library.gradient:
        gradients[gradient.function_name].add(gradient.gradient_func)

    def follow(nodes: Iterable[Any], called: Iterable[str]) -> set[tuple[str, str]]:
        """Places of these nodes of the main graph, and of all in functions that they, or `called`, call."""
        given = list(nodes)
        found = {("", node.name) for node in given}
        waiting = [*called, *(name for node in given for name in _calls(node))]
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in seen or name not in functions:
                continue
            seen.add(name)
            waiting += gradients[name]
            for node in functions[name]:
                found.add((name, node.name))
                waiting += _calls(node)
        return found

    return follow


def _calls(node: Any) -> Iterator[str]:
    yield node.op
    waiting = list(node.attr.values())
    while waiting:
        value = waiting.pop()
        for function in (value.func, *value.list.func):
            if function.name:
                yield function.name
                waiting += function.attr.values()


def _behind(nodes: Mapping[str, Any], names: Iterable[str]) -> list[Any]:
    """The nodes of these names, and all that they are computed from."""
    waiting, found = list(names), {}
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in found:
            found[name] = nodes[name]
            waiting += map(_node_name, nodes[name].input)
    return list(found.values())


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _run_by_name(meta: Any) -> Iterator[str]:
    """Nodes of the main graph that loading a file of TensorFlow 1 runs, or a call of a signature."""
    from tensorflow.core.framework import variable_pb2

    for signature in meta.signature_def.values():
        for tensor in (*signature.outputs.values(), *signature.inputs.values()):
            sparse = tensor.coo_sparse
            yield from map(
                _node_name,
                (
                    tensor.name,
                    sparse.values_tensor_name,
                    sparse.indices_tensor_name,
                    sparse.dense_shape_tensor_name,
                    *(part.name for part in tensor.composite_tensor.components),
                ),
            )
    for collection in meta.collection_def.values():
        yield from map(_node_name, collection.node_list.value)
        for raw in collection.bytes_list.value:
            try:
                variable = variable_pb2.VariableDef.FromString(raw)
            except Exception:  # something else, which nothing runs
                continue
            yield from map(
                _node_name,
                (
                    variable.variable_name,
                    variable.initial_value_name,
                    variable.initializer_name,
                    variable.snapshot_name,
                ),
            )


def _assets_outside(folder: Path, meta: Any) -> Iterator[str]:
    from tensorflow.core.protobuf import meta_graph_pb2

    names = [asset.filename for asset in meta.asset_file_def]
    for packed in (
        meta.collection_def[_ASSETS_KEY].any_list.value if _ASSETS_KEY in meta.collection_def else ()
    ):
        asset = meta_graph_pb2.AssetFileDef()
        names.append(asset.filename if packed.Unpack(asset) else packed.type_url)
    home = folder.resolve() / _ASSETS
    for name in names:
        if "\0" in name or "://" in name or not Path(os.path.normpath(home / name)).is_relative_to(home):
            yield f"asset {name!r} outside of its folder"


def _entries_outside(folder: Path) -> Iterator[str]:
    """What lies in the folder and is no file or folder of it."""
    home = folder.resolve()
    for place, folders, files in os.walk(home):
        for entry in (Path(place) / name for name in sorted((*folders, *files))):
            name, mode = entry.relative_to(home), entry.lstat().st_mode
            if stat.S_ISLNK(mode) and not entry.resolve().is_relative_to(home):
                yield f"link {str(name)!r} out of its folder"
            elif not (stat.S_ISLNK(mode) or stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                yield f"{str(name)!r}, which is no file"
