"""What a model file of others says of itself in metadata that is not ours, or what lies beside it says.

Nothing of it is trusted: a reader takes what makes sense, and puts a line into `remarks` for what does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from edgewright.runtime.foreign.scaling import Scaling

MAX_TEXT_BYTES = 2**20  # of a list of labels as text: those of 21,000 classes fit
MAX_LABELS = 2**16
_MAX_LABEL_CHARACTERS = 1000
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Said(Generic[Value]):
    """A value and where it is from, such as "its TFLite metadata"."""

    value: Value
    source: str


@dataclass(frozen=True, kw_only=True)
class Hints:
    """What is known of a file beside its graph; None where nothing is.

    `size` is height and width; `channels_first` and `channels` matter where the input leaves them open; `bgr`
    is true of a network that wants blue first. `remarks` are lines for the user of what was not used.
    """

    labels: Said[tuple[str, ...]] | None = None
    scaling: Said[Scaling] | None = None
    size: Said[tuple[int, int]] | None = None
    channels: Said[int] | None = None
    channels_first: Said[bool] | None = None
    bgr: Said[bool] | None = None
    fit: Said[str] | None = None
    resample: Said[str] | None = None
    head: Said[str] | None = None
    threshold: Said[float] | None = None
    remarks: tuple[str, ...] = ()

    def or_else(self, others: Hints) -> Hints:
        """These, and of `others` what these do not know."""
        fields = [field.name for field in dataclasses.fields(self) if field.name != "remarks"]
        known = {name: getattr(self, name) or getattr(others, name) for name in fields}
        return Hints(**known, remarks=self.remarks + others.remarks)


def as_labels(found: object) -> tuple[str, ...] | None:
    """Labels of a list of texts, or of texts by class number (0, 1, …, as numbers or as texts); else None."""
    items: Sequence[Any]
    if isinstance(found, dict):
        if len(found) > MAX_LABELS:
            return None
        numbered = {_number(key): value for key, value in found.items()}
        items = [numbered.get(i) for i in range(len(found))]
    elif isinstance(found, list | tuple):
        items = found
    else:
        return None
    if not 0 < len(items) <= MAX_LABELS:
        return None
    if not all(isinstance(item, str) and len(item) <= _MAX_LABEL_CHARACTERS for item in items):
        return None
    return tuple(items)


def lines(text: str) -> list[str]:
    """The labels of a text with one a line; blank lines at its end are none."""
    found = [line.strip() for line in text.removeprefix("\ufeff").rstrip().split("\n")]
    return found if found != [""] else []


def sizes(found: object) -> tuple[int, int] | None:
    """Height and width of one whole number or of two."""
    pair = [found, found] if isinstance(found, int) else found
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return None
    if not all(isinstance(side, int) and not isinstance(side, bool) and 0 < side <= 2**14 for side in pair):
        return None
    return (pair[0], pair[1])


def _number(key: object) -> int:
    if isinstance(key, str) and key.isdecimal() and len(key) < 9:
        return int(key)
    return key if isinstance(key, int) and not isinstance(key, bool) else -1
