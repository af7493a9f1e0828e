"""Which packages take part: those that a package needs, and they in turn, as they are installed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from urllib.parse import quote


@dataclass(frozen=True, kw_only=True)
class Package:
    """An installed package: its normalized name, its version, its licence as an SPDX expression ("" where it
    states none in that form), and the names of the installed packages that it needs."""

    name: str
    version: str
    licence: str
    needs: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Its package URL (https://github.com/package-url/purl-spec)."""
        return f"pkg:pypi/{self.name}@{quote(self.version, safe='')}"


def needed_by(*requirements: str) -> Mapping[str, Package]:
    """The packages of `requirements`, such as "edgewright[onnx]", and all that they need, sorted by name.

    What is not installed is left out.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    extras: dict[str, set[str]] = {}
    found: dict[str, Package] = {}
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        name = str(canonicalize_name(wanted.name))
        told = _told(name)
        if told is None or (name in found and wanted.extras <= extras[name]):
            continue
        asked = extras[name] = extras.get(name, set()) | wanted.extras
        version, licence, lines = told
        needs = [
            need
            for need in map(Requirement, lines)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *asked))
        ]
        names = {str(canonicalize_name(need.name)) for need in needs} - {name}
        found[name] = Package(
            name=name,
            version=version,
            licence=licence,
            needs=tuple(sorted(other for other in names if _told(other) is not None)),
        )
        waiting += needs
    return dict(sorted(found.items()))


@cache
def _told(name: str) -> tuple[str, str, Sequence[str]] | None:
    """Version, licence and requirements of an installed package; None if it is not installed."""
    try:
        told = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    licences = told.metadata.get_all("License-Expression") or [""]
    return told.version, licences[0], tuple(told.requires or ())
