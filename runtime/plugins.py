"""Plugins are files found by their name: listing a folder imports nothing, using one imports it.

A new backend, format, recipe or target is one new module in its folder that sets one constant. A package's
public names are imported when they are asked for too.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgewright.runtime.errors import UnknownNameError


@cache
def names(package: str) -> tuple[str, ...]:
    """The plugins in the package `package`, sorted; a module `fashion_mlp` is named `fashion-mlp`, and one
    whose name begins with an underscore is none."""
    found = [module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)]
    return tuple(sorted(name.replace("_", "-") for name in found if not name.startswith("_")))


def installed(module: str) -> bool:
    """True if the optional package `module` can be imported; does not import it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


@cache
def version(package: str) -> str | None:
    """An installed package and its version, as one word; does not import it, nor `importlib.metadata`, which
    takes as long as a picture. Of a package without such a folder beside it, which file it is.
    """
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0])
    with contextlib.suppress(OSError):
        installed = [
            entry.rpartition(".")[0]
            for entry in os.listdir(folder.parent)  # noqa: PTH208  (half the time of iterdir)
            if entry.endswith((".dist-info", ".egg-info"))
        ]
        if found := sorted(name for name in installed if name.replace("-", "_").startswith(package)):
            return "+".join(found)
        there = (folder / "__init__.py").stat()
        return f"{package}-{there.st_size}-{there.st_mtime_ns}"
    return None


def get(package: str, name: str, constant: str) -> Any:
    """The plugin's constant.

    Raises:
        UnknownNameError: no module of that name; the nearest one is suggested.
    """
    if name not in names(package):
        raise UnknownNameError(constant.lower(), name, names(package))
    module = importlib.import_module(f"{package}.{name.replace('-', '_')}")
    return getattr(module, constant)


def lazy(package: str, homes: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """A package's `__getattr__` (PEP 562), which imports its public names when they are first asked for.

    Args:
        package: its `__name__`.
        homes: the names that each module has, or `own as public` for one that is called otherwise there.
    """
    found = {name.rpartition(" as ")[2]: (home, name) for home, names in homes.items() for name in names}

    def getattribute(name: str) -> Any:
        if name not in found:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, own = found[name]
        return getattr(importlib.import_module(home), own.partition(" as ")[0])

    return getattribute
