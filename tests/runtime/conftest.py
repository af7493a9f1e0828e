"""Pictures, refused commands and manifests changed on purpose, for the tests of the runtime."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.runtime.bundle.manifest import MANIFEST, Manifest
from edgewright.runtime.contract import ZERO_HASH, stamp
from edgewright.runtime.disk import jsonio

Refused = Callable[..., str]
Rewrite = Callable[..., Manifest]
Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]


@pytest.fixture(scope="session")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of these tests, not the user's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(listed: Path, _session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was exported for all tests is trusted in it."""
    if (_session_cache / "known").exists():
        shutil.copytree(_session_cache / "known", listed / "known", dirs_exist_ok=True)
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(listed))
    return listed


@pytest.fixture(scope="session")
def picture() -> Path:
    """A real ankle boot."""
    return Path(__file__).resolve().parent.parent.parent / "docs" / "ankle-boot.png"


@pytest.fixture
def refused(run: Callable[..., tuple[int, str, str]]) -> Refused:
    """Run a command that must end with status 1, one line on standard error, and nothing else: the line."""

    def call(*words: object) -> str:
        status, out, err = run(*words)
        assert (status, out) == (1, ""), err
        assert err.startswith("edgewright: ")
        assert err.count("\n") == 1
        return err

    return call


@pytest.fixture
def rewrite() -> Rewrite:
    """Change fields of a bundle's manifest, which stays one that is right in itself."""

    def call(bundle: Path, **changes: Any) -> Manifest:
        path = bundle / MANIFEST
        manifest = dataclasses.replace(Manifest.from_bytes(path.read_bytes(), str(path)), **changes)
        path.write_bytes(manifest.to_bytes())
        return manifest

    return call


@pytest.fixture
def edit() -> Edit:
    """Change the JSON of a bundle's manifest at will, and give it the SHA-256 that it then has."""

    def call(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
        path = bundle / MANIFEST
        data = json.loads(path.read_bytes()) | {"sha256": ZERO_HASH}
        change(data)
        path.write_bytes(stamp(jsonio.dump(data)))

    return call
