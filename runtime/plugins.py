"""Plugins are files found by their name: listing a folder imports nothing, using one imports it.

A new backend, format, recipe or target is one new module in its folder that sets one constant.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.util import find_spec
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


def get(package: str, name: str, constant: str) -> Any:
    """The plugin's constant.

    Raises:
        UnknownNameError: no module of that name; the nearest one is suggested.
    """
    if name not in names(package):
        raise UnknownNameError(constant.lower(), name, names(package))
    module = importlib.import_module(f"{package}.{name.replace('-', '_')}")
    return getattr(module, constant)
