"""The engines of pages are those of the pinned hashes, or none."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.apps.web import assets
from edgewright.runtime.errors import TargetError

CODE = b"export const engine = 1;"


def archive(**files: bytes) -> bytes:
    """As npm packs them."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as packed:
        for name, raw in files.items():
            member = tarfile.TarInfo(f"package/{name.replace('__', '.')}")
            member.size = len(raw)
            packed.addfile(member, io.BytesIO(raw))
    return memory.getvalue()


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Have npm bring this archive."""

    def bring(raw: bytes) -> None:
        def call(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
            (folder / "engine-1.0.0.tgz").write_bytes(raw)
            return subprocess.CompletedProcess(words, 0, "", "")

        monkeypatch.setattr(assets, "call", call)

    return bring


def package(raw: bytes) -> assets.Package:
    digest = base64.b64encode(hashlib.sha512(raw).digest()).decode()
    return assets.Package(name="engine", version="1.0.0", integrity=f"sha512-{digest}", files=("index.js",))


def fetched(one: assets.Package, folder: Path) -> dict[str, bytes]:
    (folder / "scratch").mkdir()
    assets._fetch(one, folder / "new", folder / "scratch")
    return {path.name: path.read_bytes() for path in (folder / "new" / "engine").iterdir()}


def test_package_of_the_pinned_hash_gives_the_files_that_are_used(npm: Any, tmp_path: Path) -> None:
    raw = archive(index__js=CODE, package__json=b"{}", other__js=b"not used")
    npm(raw)
    assert fetched(package(raw), tmp_path) == {"index.js": CODE, "package.json": b"{}"}


def test_package_of_another_hash_is_refused_and_nothing_of_it_is_taken(npm: Any, tmp_path: Path) -> None:
    pinned = archive(index__js=CODE, package__json=b"{}")
    npm(archive(index__js=CODE + b"steal()", package__json=b"{}"))
    with pytest.raises(TargetError, match=r"expected engine@1\.0\.0 to be sha512-.*nothing of it was taken"):
        fetched(package(pinned), tmp_path)
    assert not (tmp_path / "new").exists()


def test_package_that_lacks_a_file_is_refused(npm: Any, tmp_path: Path) -> None:
    raw = archive(package__json=b"{}")
    npm(raw)
    with pytest.raises(TargetError, match=r"expected index\.js in engine@1\.0\.0, got none"):
        fetched(package(raw), tmp_path)
