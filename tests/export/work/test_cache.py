"""The cache gives back what was put in, whole, for the very same parts, and nothing else."""

from __future__ import annotations

import os
import shutil
from importlib import resources
from pathlib import Path

import pytest

from edgewright.export.work import cache
from edgewright.export.work.cache import Cache

PARTS = {"model": "abc", "options": {"size": 3, "names": ["a", "b"]}}


@pytest.fixture
def kept(tmp_path: Path) -> Cache:
    found = Cache(tmp_path / "cache")
    with found.add(PARTS) as folder:
        (folder / "file.bin").write_bytes(b"content")
    return found


def test_cache_find_gives_back_what_was_added(kept: Cache) -> None:
    entry = kept.find({"options": {"names": ["a", "b"], "size": 3}, "model": "abc"})
    assert entry is not None
    assert (entry / "file.bin").read_bytes() == b"content"


@pytest.mark.parametrize("parts", [{}, {**PARTS, "model": "abd"}, {**PARTS, "more": 1}])
def test_cache_find_of_other_parts_is_none(kept: Cache, parts: dict[str, object]) -> None:
    assert kept.find(parts) is None


def test_cache_find_of_other_code_is_none(kept: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_code", lambda: "other")
    assert kept.find(PARTS) is None


@pytest.mark.parametrize(
    "changed",
    [
        "export/exporter.py",
        "export/work/cache.py",
        "runtime/contract/__init__.py",
        "runtime/backends/ort/schema.py",
    ],
)
def test_code_digest_changes_with_any_source(tmp_path: Path, changed: str) -> None:
    folders = [Path(str(resources.files(package))) for package in cache._PACKAGES]
    copies = [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in folders]
    before = cache.code_digest(*copies)
    assert before == cache._code()
    (tmp_path / changed).write_bytes((tmp_path / changed).read_bytes() + b"\n")
    assert cache.code_digest(*copies) != before


def test_code_digest_changes_with_a_source_that_moves(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    before = cache.code_digest(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "room" / "a.py")
    assert cache.code_digest(tmp_path) != before


@pytest.mark.parametrize("damage", ["changed", "gone", "list cut", "list gone", "link out"])
def test_cache_find_of_a_damaged_entry_is_none(kept: Cache, tmp_path: Path, damage: str) -> None:
    entry = kept.find(PARTS)
    assert entry is not None
    if damage == "changed":
        (entry / "file.bin").write_bytes(b"Content")
    elif damage == "gone":
        (entry / "file.bin").unlink()
    elif damage == "list cut":
        (entry / "entry.json").write_text("{")
    elif damage == "list gone":
        (entry / "entry.json").unlink()
    else:
        (tmp_path / "other").write_bytes(b"other")
        (entry / "file.bin").unlink()
        (entry / "file.bin").symlink_to(tmp_path / "other")
    assert kept.find(PARTS) is None


def test_cache_entry_holds_a_folder_inside_it(tmp_path: Path) -> None:
    found = Cache(tmp_path / "cache")
    with found.add(PARTS) as folder:
        (folder / "model" / "variables").mkdir(parents=True)
        (folder / "model" / "variables" / "data").write_bytes(b"content")
    entry = found.find(PARTS)
    assert entry is not None
    (entry / "model" / "variables" / "data").write_bytes(b"Content")
    assert found.find(PARTS) is None


def test_cache_add_that_fails_leaves_no_entry(tmp_path: Path) -> None:
    found = Cache(tmp_path / "cache")
    with pytest.raises(RuntimeError), found.add(PARTS) as folder:
        (folder / "file.bin").write_bytes(b"half")
        raise RuntimeError("killed")
    assert found.find(PARTS) is None
    assert list((tmp_path / "cache").iterdir()) == []


def test_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    found = Cache(tmp_path / "file")
    with found.add(PARTS) as folder:
        (folder / "file.bin").write_bytes(b"content")
    assert found.find(PARTS) is None


def test_cache_add_of_what_no_longer_fits_is_not_kept_and_the_work_goes_on(tmp_path: Path) -> None:
    found = Cache(tmp_path / "cache")
    with found.add(PARTS) as folder:
        (folder / "file.bin").write_bytes(b"cont")
        raise OSError(28, "No space left on device")
    assert found.find(PARTS) is None
    assert list((tmp_path / "cache").iterdir()) == []


def test_cache_entries_used_longest_ago_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MOST_BYTES", 2600)
    found = Cache(tmp_path / "cache")
    for number in range(3):
        with found.add({"number": number}) as folder:
            (folder / "file.bin").write_bytes(bytes(1000))
        entry = found.find({"number": number})
        if entry is not None:
            os.utime(entry, (number, number))
        found.find({"number": 0})  # used again
    assert found.find({"number": 1}) is None
    assert found.find({"number": 0}) is not None
    assert found.find({"number": 2}) is not None


def test_cache_lies_in_the_cache_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path))
    with Cache().add(PARTS) as folder:
        (folder / "file.bin").write_bytes(b"content")
    assert len(list((tmp_path / "export").iterdir())) == 1
