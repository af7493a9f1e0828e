"""What a child process tells its parent of the work under way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, get_args

from edgewright.export.network.model import Facts
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import ExportError


@dataclass(frozen=True, kw_only=True)
class ModelLoaded:
    """The model is loaded, and can be exported; `refused` are formats that cannot hold it, with reasons."""

    facts: Facts
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Began:
    """A step begins, such as `calibrating`; should the process end in it, `of` is lost: a variant, a format
    that is tried, or all (empty)."""

    step: str
    of: str = ""


@dataclass(frozen=True, kw_only=True)
class ReferenceScored:
    """The model's own scores of the test images are written."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """The variant's file is written; `conversion` says how it was made."""

    variant: str
    conversion: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The variant has no file; `needless`: it would be no better than one that there is."""

    variant: str
    reason: str
    needless: bool = False


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A pass is done and its model written; `record` says how long it trained and how well it did."""

    record: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Progressed:
    """So large a `share` of the work is done."""

    share: float
    note: str


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Nothing more will come: an `EdgewrightError` with its one line."""

    reason: str


Event: TypeAlias = ModelLoaded | Began | ReferenceScored | Converted | Failed | Trained | Progressed | Stopped
_KINDS = {kind.__name__: kind for kind in get_args(Event)}


def encode(event: Event) -> dict[str, Any]:
    """The event as a message of `edgewright.runtime.machine.child`."""
    return {"event": type(event).__name__, **dataclasses.asdict(event)}


def decode(message: Mapping[str, Any]) -> Event:
    """What `encode` was given."""
    fields = dict(message)
    kind = _KINDS[fields.pop("event")]
    if kind is ModelLoaded:
        facts = Facts.from_json(JsonObject(fields["facts"], "the child's answer", ExportError))
        return ModelLoaded(facts=facts, refused=fields["refused"])
    event: Event = kind(**fields)
    return event
