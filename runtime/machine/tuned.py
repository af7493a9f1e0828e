"""What `edgewright tune` found fastest here: a variant of a bundle, an engine and its threads, remembered.

It holds for one machine, one manifest (by its SHA-256) and the versions of all interpreters that were
installed: with another of them the order may be another, so nothing is taken from a record that does not fit.
Records lie in the user's cache folder and are read with the suspicion of the list of trusted files
(`disk/owned.py`): who could write one could choose which engine runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.runtime import backends, plugins
from edgewright.runtime.backends import ARITHMETICS, EXACT
from edgewright.runtime.contract import SCHEMA_VERSION, check_schema
from edgewright.runtime.disk import digest, files, jsonio, owned
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import InputError, UnknownNameError
from edgewright.runtime.machine import processor
from edgewright.runtime.machine.threads import cores

PURPOSES = ("latency", "throughput", "memory")
_WHAT = "records of edgewright tune"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What runs fastest: `engine` is one that `backends.get` takes. `value` is what was measured of it,
    nanoseconds an image, or bytes where it was tuned for memory, `low` to `high` how far that ranged."""

    variant: str
    engine: str
    threads: int
    value: float
    low: float
    high: float

    @staticmethod
    def from_json(obj: JsonObject) -> Choice:
        return obj.make(Choice, {"threads": obj.integer("threads", 1, 1024)})


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A record. `name` is the model's, `folder` where its bundle lay, `purpose` one of `PURPOSES`; `choices`
    has the best of the exact engines, and by each other arithmetic the best with engines that passed in it
    too; `versions` are those of the interpreters, None of one that was not installed."""

    name: str
    folder: str
    purpose: str
    choices: Mapping[str, Choice]
    versions: Mapping[str, str | None]

    @staticmethod
    def from_json(obj: JsonObject) -> Tuned:
        check_schema(obj, InputError)
        choices, versions = obj.object("choices"), obj.object("versions")
        if EXACT not in choices.data or not set(choices.data) <= set(ARITHMETICS):
            raise obj.fail("choices", "one of exact arithmetic, and none of an unknown one")
        others = {
            "purpose": obj.choice("purpose", PURPOSES),
            "choices": {key: Choice.from_json(choices.object(key)) for key in choices.data},
            "versions": {key: versions.text(key) if versions.has(key) else None for key in versions.data},
        }
        return obj.make(Tuned, others)

    def stale(self) -> str:
        """What has been installed, removed or exchanged since, as `got` of a message; empty if nothing."""
        now = installed()
        for key in sorted({*now, *self.versions}):
            was, found = self.versions.get(key), now.get(key)
            if was != found:
                return f"{found or 'no ' + key} where {was or 'no ' + key} was measured"
        return ""


def installed() -> dict[str, str | None]:
    """The interpreters, by their backends, as one word with the version each."""
    names = plugins.names(backends.__name__)
    return {name: plugins.version(backends.get(name).module.partition(".")[0]) for name in names}


def remember(manifest_sha256: str, found: Tuned) -> None:
    """Keep a record; one of the same bundle and machine is replaced. Raises `OutputError`."""
    told: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(found)}
    owned.write(_place(manifest_sha256), jsonio.dump(told), _WHAT)


def recall(manifest_sha256: str) -> Tuned | None:
    """The record of a bundle on this machine; None if there is none, or none that is believed."""
    return _read(_place(manifest_sha256))


def every() -> Iterator[Tuned]:
    """All records of this machine that are believed."""
    for entry in sorted(_folder().glob(f"{_machine()}-*.json")):
        if (found := _read(entry)) is not None:
            yield found


def fastest(folder: Path, manifest_sha256: str, may: str | None = None) -> Choice:
    """What to run a bundle with.

    Args:
        folder: of the bundle, for the message.
        may: an arithmetic of `ARITHMETICS` that may be taken beside the exact one, where it has passed.

    Raises:
        InputError: it was never tuned here, or with other interpreters than those that are installed now.
        UnknownNameError: no such arithmetic.
    """
    if may is not None and may not in ARITHMETICS:
        raise UnknownNameError("arithmetic", may, ARITHMETICS)
    found = recall(manifest_sha256)
    cure = f"run: edgewright tune {folder}"
    if found is None:
        trouble = owned.distrust(_folder(), _WHAT) if _folder().exists() else None
        raise InputError(
            trouble
            or f"expected {folder} to be tuned on this machine as it is now, got no record of it; {cure}"
        )
    if stale := found.stale():
        raise InputError(f"expected the interpreters that {folder} was tuned with, got {stale}; {cure}")
    return found.choices.get(may or EXACT, found.choices[EXACT])


def described(found: Tuned) -> str:
    """A record in one line."""
    unit, of = (2**20, "MiB") if found.purpose == "memory" else (1e6, "ms")
    told = ", ".join(
        f"{choice.variant} on {choice.engine}, threads: {choice.threads}, {choice.value / unit:.3g} {of}"
        + (f" (may be {arithmetic})" if arithmetic != EXACT else "")
        for arithmetic, choice in found.choices.items()
    )
    stale = found.stale()
    return f"{found.name} tuned for {found.purpose}: {told}" + (
        f"; to be tuned again: {stale}" if stale else ""
    )


def _read(entry: Path) -> Tuned | None:
    raw = owned.read(entry)
    if raw is None:
        return None
    try:
        return Tuned.from_json(jsonio.parse(raw, str(entry), InputError))
    except InputError:  # of another version of this project, or damaged: it is measured again
        return None


def _folder() -> Path:
    return files.cache_folder() / "tuned"


def _machine() -> str:
    """This machine, as far as it decides what is fast: a home folder may be on several."""
    told = (processor.processor(), *(processor.isa() or ()), str(cores()))
    return digest.sha256(" ".join(told).encode())[:16]


def _place(manifest_sha256: str) -> Path:
    return _folder() / f"{_machine()}-{manifest_sha256}.json"
