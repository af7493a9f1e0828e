"""The bill of materials: CycloneDX 1.6, JSON (https://cyclonedx.org/docs/1.6/json/)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewright.export.attestation.packages import Package, needed_by
from edgewright.runtime import backends
from edgewright.runtime.bundle.manifest import FileEntry
from edgewright.runtime.disk import digest, jsonio
from edgewright.runtime.errors import BundleError

_BUNDLE = "bundle"  # its reference within the document


def make(name: str, models: Sequence[FileEntry]) -> bytes:
    """The bill of a bundle, made here and now.

    Components are the packages that make files (`scope` is `excluded`) and those that run them
    (`required`), in the versions installed here; the bundle has its model files as parts, with SHA-256.

    Args:
        name: of the model.
        models: the model files.
    """
    extras = sorted({backends.for_path(Path(model.file)).extra for model in models})
    runs = needed_by(f"edgewright[{','.join(extras)}]")
    makes = needed_by("edgewright[export]")
    every = {**makes, **runs}
    own = every["edgewright"]
    return _document(
        {
            "metadata": {
                "tools": {"components": [{"type": "application", "name": own.name, "version": own.version}]},
                "component": {
                    "type": "machine-learning-model",
                    "bom-ref": _BUNDLE,
                    "name": name,
                    "components": _parts(models),
                },
            },
            "components": [
                _component(package, "required" if key in runs else "excluded")
                for key, package in sorted(every.items())
            ],
            "dependencies": [
                {"ref": _BUNDLE, "dependsOn": [own.purl]},
                *(
                    {"ref": package.purl, "dependsOn": [every[need].purl for need in package.needs]}
                    for _, package in sorted(every.items())
                ),
            ],
        }
    )


def with_models(raw: bytes, models: Sequence[FileEntry], where: str) -> bytes:
    """The same bill for a bundle of other files that were made together. Raises `BundleError`."""
    obj = jsonio.parse(raw, where, BundleError)
    obj.object("metadata").object("component").data["components"] = _parts(models)
    kept = ("metadata", "components", "dependencies")
    return _document({key: obj.data[key] for key in kept if key in obj.data})


def _document(content: Mapping[str, Any]) -> bytes:
    """`content` with its head; the serial number is made of what it says, so that it says the same twice."""
    serial = uuid.uuid5(uuid.NAMESPACE_OID, digest.sha256(jsonio.dump(content)))
    return jsonio.dump(
        {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": serial.urn,
            "version": 1,
            **content,
        }
    )


def _parts(models: Sequence[FileEntry]) -> list[dict[str, Any]]:
    return [
        {
            "type": "machine-learning-model",
            "bom-ref": model.file,
            "name": model.file,
            "hashes": [{"alg": "SHA-256", "content": model.sha256}],
        }
        for model in sorted(models, key=lambda model: model.file)
    ]


def _component(package: Package, scope: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "scope": scope,
        **({"licenses": [{"expression": package.licence}]} if package.licence else {}),
        "purl": package.purl,
    }
