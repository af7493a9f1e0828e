"""Opens Keras files, and says of one that Keras cannot open what it is and what to do."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgewright.export.network.model import Model
from edgewright.runtime.disk import zips
from edgewright.runtime.errors import ExportError
from edgewright.train.stack import import_keras

_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_CONFIG, _WEIGHTS = "config.json", ("model.weights.h5", "model.weights.npz")
_MOST_CONFIG = 2**28  # bytes
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    ValueError,
    RuntimeError,
)  # what reading an archive raises
_GROUPS_OF_WEIGHTS = {"layers", "vars", "_layer_checkpoint_dependencies"}  # that Keras 3 writes
_USERS_CODE = "edgewright_users_code"  # the name that a user's file is imported by
_CUT_OFF = "truncated; copy or download it again"
_KERAS_2_OPERATIONS = ("TFOpLambda", "SlicingOpLambda")  # of TensorFlow's functions, no layer of anyone
_TRUST = "if you trust it, add --unsafe-load"
_RUNS_CODE = f"loading it would run Python code out of the file; {_TRUST}"
_OPENS = (
    f"loading it would open a SavedModel, whose operators may read, write or run what they like; {_TRUST}"
)
_ACTING = {"Lambda": _RUNS_CODE, "__lambda__": _RUNS_CODE, "TFSMLayer": _OPENS}
_SHOWN = 300  # characters of another library's own words


def open_model(model: Model) -> Any:
    """The Keras model in the file, not compiled. Raises `ExportError`."""
    keras = import_keras()
    classes = _imported(model.code) if model.code else {}
    _refuse_what_is_no_model(model.path)
    if not model.unsafe:
        _refuse_what_acts(model.path)
    try:
        return keras.saving.load_model(
            model.path, custom_objects=classes, compile=False, safe_mode=not model.unsafe
        )
    except Exception as failure:  # Keras raises whatever its layers do
        raise ExportError(_why_keras_cannot(keras, model, classes, failure)) from failure


def _imported(code: Path) -> dict[str, Any]:
    """Classes and functions that the user's own file defines, by their names, whether registered or not.

    Raises:
        ExportError: it cannot be imported.
    """
    spec = importlib.util.spec_from_file_location(_USERS_CODE, code)
    if spec is None or spec.loader is None:
        raise ExportError(f"expected --code to be a Python file, got {code}")
    module = sys.modules[_USERS_CODE] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as failure:
        raise ExportError(
            f"expected --code {code} to import installed packages only, got '{failure.name}', which is none; "
            "put what it needs into the one file"
        ) from failure
    except (Exception, SystemExit) as failure:  # it is the user's, and does what it likes
        line = _line_in(code, failure)
        reason = " ".join(str(failure).split())[:_SHOWN]
        raise ExportError(
            f"--code {code}{line} cannot be imported: {type(failure).__name__}: {reason}"
        ) from failure
    return {
        name: value
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == _USERS_CODE
    }


def _line_in(code: Path, failure: BaseException) -> str:
    """Where in the file it failed, as `:12`; empty if that is not known."""
    if isinstance(failure, SyntaxError) and failure.lineno:
        return f":{failure.lineno}"
    lines, at = [], failure.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == str(code):
            lines.append(at.tb_lineno)
        at = at.tb_next
    return f":{lines[-1]}" if lines else ""


def _refuse_what_is_no_model(path: Path) -> None:
    """Raises `ExportError`: it is something else than its name says, weights only, or cut off."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        raise ExportError(f"expected a model, got {path}, a pointer of Git LFS to one; run: git lfs pull")
    if not head:
        raise ExportError(f"expected a model, got {path}, which is empty")
    if path.suffix.lower() == ".keras":
        _refuse_archive(path, head)
    else:
        _refuse_hdf5(path, head)


def _refuse_archive(path: Path, head: bytes) -> None:
    if head.startswith(_HDF5):
        raise ExportError(
            f"expected a zip archive, as .keras files are, got {path}, an HDF5 file; rename it .h5"
        )
    if not head.startswith(_ZIP):
        raise ExportError(f"expected a zip archive, as .keras files are, got {path}, which is none")
    try:
        with path.open("rb") as file, zips.archive(file) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
    except _DAMAGE as failure:
        raise ExportError(f"expected a whole .keras file, got {path}, which is {_CUT_OFF}") from failure
    if _CONFIG not in sizes or not {*_WEIGHTS} & {*sizes}:
        missing = _CONFIG if _CONFIG not in sizes else _WEIGHTS[0]
        raise ExportError(
            f"expected a .keras file with {_CONFIG} and {_WEIGHTS[0]}, got {path} without {missing}; "
            "save the model again with model.save"
        )
    if sizes[_CONFIG] > _MOST_CONFIG:
        raise ExportError(
            f"expected at most {_MOST_CONFIG:,} bytes of {_CONFIG} in {path}, got {sizes[_CONFIG]:,}; "
            "constants belong into weights"
        )


def _refuse_hdf5(path: Path, head: bytes) -> None:
    import h5py

    if head.startswith(_ZIP):
        raise ExportError(f"expected an HDF5 file, got {path}, a zip archive; rename it .keras")
    if not head.startswith(_HDF5):
        raise ExportError(f"expected an HDF5 file, got {path}, which is none")
    try:
        with h5py.File(path, "r") as file:
            is_model = "model_config" in file.attrs
            is_weights = "layer_names" in file.attrs or bool(_GROUPS_OF_WEIGHTS & {*file})
    except Exception as failure:  # h5py raises whatever it meets
        raise ExportError(_cut_off_or(path, failure)) from failure
    if is_model:
        return
    if is_weights:
        raise ExportError(
            f"expected a whole model, got {path}, which holds weights only; where the network is built in "
            "Python, add model.load_weights(FILE) and model.save('model.keras'), and export that"
        )
    raise ExportError(f"expected a Keras model, got {path}, an HDF5 file that holds none")


def _cut_off_or(path: Path, failure: Exception) -> str:
    reason = " ".join(str(failure).split())
    if "truncated file" in reason or "Bad CRC" in reason or "bad object header" in reason:
        return f"expected a whole model, got {path}, which is {_CUT_OFF}"
    return f"Keras cannot load {path}: {reason[:_SHOWN] or type(failure).__name__}"


def _why_keras_cannot(keras: Any, model: Model, classes: dict[str, Any], failure: Exception) -> str:
    for kind, name, of_keras in _layers_in(_config_of(model.path)):
        layer = f"layer '{name}' of {model.path} is a {kind}" if name else f"{model.path} holds a {kind}"
        if of_keras or _known(keras, kind, classes):
            continue
        neither = f"neither Keras nor {model.code.name} has" if model.code else "Keras does not have"
        cure = "" if kind in _KERAS_2_OPERATIONS else "add --code FILE, the Python file that defines it, or "
        return (
            f"{layer}, whose code {neither}; {cure}where it was made write a SavedModel "
            "(Keras 3: model.export, Keras 2: model.save)"
        )
    if "safe_mode=False" in str(failure) and not model.unsafe:
        return f"{model.path}: {_RUNS_CODE}"
    if found := re.search(
        r"Could not (?:locate|find|interpret) (\w+) '?(\w+)|Unknown (\w+): '?(\w+)", str(failure)
    ):
        what, name = (word for word in found.groups() if word)
        return (
            f"{model.path} names the {what} '{name}', whose code Keras does not have; add --code FILE, the "
            "Python file that defines it"
        )
    return _cut_off_or(model.path, failure)


def _known(keras: Any, kind: str, classes: dict[str, Any]) -> bool:
    registered = {key.rpartition(">")[2] for key in keras.saving.get_custom_objects()}
    return kind in ("Functional", *classes, *registered) or any(
        hasattr(module, kind) for module in (keras.layers, keras.models)
    )


def lets_through(path: Path) -> tuple[str, ...]:
    """What loading the file does beside computing: layers that run code, and those that open a SavedModel."""
    return tuple(f"{kind} '{name}'" if name else kind for kind, name in _acting_in(_config_of(path)))


def _refuse_what_acts(path: Path) -> None:
    """Raises `ExportError`, before Keras sees the file. Keras refuses it too, while it loads."""
    for kind, name in _acting_in(_config_of(path)):
        layer = f"layer '{name}' of {path} is a {kind}" if name else f"{path} holds a {kind}"
        raise ExportError(f"{layer}: {_ACTING[kind]}")


def _acting_in(config: Any) -> Iterator[tuple[str, str | None]]:
    """Class and name, wherever it stands in the configuration, not only where layers are listed."""
    for _, entry in _objects_in(config):
        kind = re.split(r"[>.]", str(entry.get("class_name")))[-1]  # of a package>class, or of a module
        if kind in _ACTING:
            inner = entry.get("config")
            name = inner.get("name") if isinstance(inner, dict) else None
            yield kind, str(name) if name else None


def _config_of(path: Path) -> Any:
    """The file's configuration of the model; None if it cannot be read."""
    text: Any = "{}"
    if path.suffix.lower() == ".keras":  # as Keras decides it: a zip may lie behind an HDF5 file
        with suppress(KeyError, *_DAMAGE), path.open("rb") as file, zips.archive(file) as archive:
            text = zips.member(archive, _CONFIG, _MOST_CONFIG)
    else:
        import h5py

        with suppress(OSError), h5py.File(path, "r") as file:
            text = file.attrs.get("model_config", "{}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _layers_in(found: Any) -> Iterator[tuple[str, str | None, bool]]:
    """Class, name if it has one, and whether the file says that it is Keras' own, of the model and of every
    layer that the configuration lists."""
    for key, entry in _objects_in(found):
        config = entry.get("config")
        if key in ("layer", "layers") and isinstance(config, dict) and "class_name" in entry:
            name = config.get("name")
            of_keras = str(entry.get("module")).partition(".")[0] == "keras"
            yield str(entry["class_name"]), str(name) if name else None, of_keras


def _objects_in(found: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON object with the key it stands under, in the file's order."""
    waiting: list[tuple[str, Any]] = [("layer", found)]
    while waiting:
        key, entry = waiting.pop()
        if isinstance(entry, dict):
            yield key, entry
            waiting.extend(reversed(entry.items()))
        elif isinstance(entry, list):
            waiting.extend((key, item) for item in reversed(entry))
