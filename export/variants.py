"""Variants by name: a format and a scheme, such as `tflite-int8`."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.export import formats
from edgewright.export.formats import Scheme
from edgewright.runtime.errors import UnknownNameError


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to export a model; `name` is `FORMAT-SCHEME`."""

    name: str
    format: str
    scheme: str

    @property
    def settings(self) -> Scheme:
        return formats.get(self.format).schemes[self.scheme]

    @property
    def file(self) -> str:
        """The file's name in a bundle."""
        return self.name + formats.get(self.format).suffix


def known() -> dict[str, Variant]:
    """Every variant there is, by name; formats in reverse alphabetical order, so TFLite comes first."""
    return {
        f"{name}-{scheme}": Variant(name=f"{name}-{scheme}", format=name, scheme=scheme)
        for name in reversed(formats.names())
        for scheme in formats.get(name).schemes
    }


def defaults() -> list[Variant]:
    return [variant for variant in known().values() if variant.settings.default]


def parse(text: str) -> list[Variant]:
    """Variants from a comma-separated list, each once, in the order given; `all` stands for every one.

    Raises:
        UnknownNameError: with the nearest known name.
    """
    everything = known()
    chosen: dict[str, Variant] = {}
    for name in (part.strip() for part in text.split(",")):
        if name == "all":
            chosen |= everything
            continue
        if name not in everything:
            raise UnknownNameError("variant", name, everything)
        chosen[name] = everything[name]
    return list(chosen.values())
