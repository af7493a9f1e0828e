"""The provenance statement: in-toto Statement 1 (https://github.com/in-toto/attestation/tree/main/spec/v1)
with SLSA's provenance 1 as its predicate (https://slsa.dev/spec/v1.0/provenance).

Its subjects are the files of the bundle but for the manifest, which lists the statement.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from edgewright.export.attestation.packages import needed_by
from edgewright.runtime.bundle.manifest import FileEntry
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import BundleError

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILDER = "pkg:pypi/edgewright"  # which program; who ran it is who signs
BUILD = f"{BUILDER}#export/v1"  # what `externalParameters` mean


@dataclass(frozen=True, kw_only=True)
class Input:
    """Something the files were made of: what it is called, its SHA-256, and of what in it that is."""

    name: str
    sha256: str
    of: str = "the file"

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "digest": {"sha256": self.sha256}, "annotations": {"sha256_of": self.of}}


def make(
    files: Sequence[FileEntry],
    parameters: Mapping[str, Any],
    inputs: Sequence[Input],
    packages: Sequence[str],
) -> bytes:
    """The statement of an export that ran here.

    Args:
        files: of the bundle, without its manifest.
        parameters: what the user has set, no path among them.
        inputs: what the files were made of.
        packages: the names of those that made them; what is not installed is left out.
    """
    tools = needed_by(*packages)
    chosen = [tools[name] for name in sorted(packages) if name in tools]
    return jsonio.dump(
        {
            "_type": STATEMENT,
            "subject": _subjects(files),
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD,
                    "externalParameters": parameters,
                    "internalParameters": {
                        "machine": platform.machine(),
                        "system": platform.system(),
                        "python": platform.python_version(),
                    },
                    "resolvedDependencies": [
                        *(given.to_json() for given in inputs),
                        *({"name": package.name, "uri": package.purl} for package in chosen),
                    ],
                },
                "runDetails": {
                    "builder": {"id": BUILDER, "version": {"edgewright": metadata.version("edgewright")}}
                },
            },
        }
    )


def with_files(raw: bytes, files: Sequence[FileEntry], inputs: Sequence[Input], where: str) -> bytes:
    """The same statement for a bundle of other files that were made together, of `inputs` beside. Raises
    `BundleError`."""
    obj = jsonio.parse(raw, where, BundleError)
    definition = obj.object("predicate").object("buildDefinition")
    obj.data["subject"] = _subjects(files)
    definition.array("resolvedDependencies").extend(given.to_json() for given in inputs)
    return jsonio.dump(obj.data)


def _subjects(files: Sequence[FileEntry]) -> list[dict[str, Any]]:
    return [
        {"name": file.file, "digest": {"sha256": file.sha256}}
        for file in sorted(files, key=lambda file: file.file)
    ]
