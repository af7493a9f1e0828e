"""What a child process tells its parent of the work under way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from edgewright.export.network.model import Facts
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import ExportError


@dataclass(frozen=True, kw_only=True)
class ModelLoaded:
    """The model is loaded, and can be exported."""

    facts: Facts


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
    """The variant has no file."""

    variant: str
    reason: str


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


Event: TypeAlias = ModelLoaded | ReferenceScored | Converted | Failed | Trained | Progressed | Stopped
_KINDS = {kind.__name__: kind for kind in get_args(Event)}


def encode(event: Event) -> dict[str, Any]:
    """The event as a message of `edgewright.runtime.machine.child`."""
    return {"event": type(event).__name__, **dataclasses.asdict(event)}


def decode(message: Mapping[str, Any]) -> Event:
    """What `encode` was given."""
    fields = dict(message)
    kind = _KINDS[fields.pop("event")]
    if kind is ModelLoaded:
        return ModelLoaded(
            facts=Facts.from_json(JsonObject(fields["facts"], "the child's answer", ExportError))
        )
    event: Event = kind(**fields)
    return event
