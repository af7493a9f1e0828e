"""What words on a command line mean, and archives that must not be believed."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgewright.runtime import pictures
from edgewright.runtime.errors import ImageError


def names(*words: object) -> list[str]:
    return [picture.name for picture in pictures.find([str(word) for word in words])]


def refusal(*words: object) -> str:
    (picture,) = pictures.find([str(word) for word in words])
    with pytest.raises(ImageError) as failure:
        picture.read()
    return str(failure.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.JPG", "deep/er/c.webp", "notes.txt", ".hidden.png", "deep/noext"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "pictures"


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as out:
        for name, raw in members.items():
            out.writestr(zipfile.ZipInfo(name), raw, method)
    return path


def test_pictures_find_takes_a_file_as_itself_whatever_its_name(folder: Path) -> None:
    assert names(folder / "notes.txt", "nowhere") == [str(folder / "notes.txt"), "nowhere"]


def test_pictures_find_takes_a_folder_as_the_pictures_in_it_and_below(folder: Path) -> None:
    assert names(folder) == [str(folder / name) for name in ("a.JPG", "b.png", "deep/er/c.webp")]


def test_pictures_find_in_a_folder_without_pictures_says_what_it_looked_for(tmp_path: Path) -> None:
    assert ".jpeg" in refusal(tmp_path)


def test_pictures_find_expands_a_glob_unless_a_file_has_that_very_name(folder: Path) -> None:
    assert names(folder / "*.png") == [str(folder / "b.png")]
    assert names(folder / "**" / "*.webp") == [str(folder / "deep/er/c.webp")]
    (folder / "x[1].png").write_bytes(b"")
    assert names(folder / "x[1].png") == [str(folder / "x[1].png")]
    assert "no file is named like this" in refusal(folder / "*.gif")


def test_pictures_find_takes_standard_input_as_one_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"picture")))
    (picture,) = pictures.find(["-"])
    assert (picture.name, picture.read()) == ("-", b"picture")
    monkeypatch.setattr(pictures, "MAX_BYTES", 3)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"picture")))
    assert "at most 3 bytes" in refusal("-")


def test_pictures_find_takes_a_zip_archive_as_the_pictures_in_it(tmp_path: Path) -> None:
    members = {"z/b.png": b"B", "a.jpg": b"A", "readme.txt": b"", "__MACOSX/._a.jpg": b"", "z/.c.png": b""}
    path = archive(tmp_path / "p.ZIP", members)
    found = list(pictures.find([str(path)]))
    assert [p.name for p in found] == [f"{path}/a.jpg", f"{path}/z/b.png"]
    assert names(archive(tmp_path / "q.zip", {"a.jpg": b""})) == [f"{tmp_path}/q.zip/a.jpg"]


def test_zip_archive_members_can_be_read_once_all_were_listed(tmp_path: Path) -> None:
    path = archive(tmp_path / "p.zip", {"a.jpg": b"A", "b.jpg": b"B"})
    assert [picture.read() for picture in list(pictures.find([str(path)]))] == [b"A", b"B"]


@pytest.mark.parametrize(
    "name", ["../a.png", "a/../../b.png", "/etc/a.png", "C:\\a.png", "..\\a.png", "a\\..\\..\\b.png"]
)
def test_zip_archive_with_names_that_lead_out_of_it_is_refused(tmp_path: Path, name: str) -> None:
    assert "leads out of it" in refusal(archive(tmp_path / "p.zip", {"ok.png": b"", name: b""}))


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 2**20)
    members = {f"{i}.png": bytes(2**20) for i in range(3)}
    assert "which pictures do not" in refusal(archive(tmp_path / "p.zip", members))
    monkeypatch.setattr(pictures, "MAX_RATIO", 10**9)
    big = archive(tmp_path / "q.zip", {"a.png": bytes(2**20 + 1)})
    assert "expected at most 1,048,576 bytes" in refusal(big)


def test_zip_archive_member_that_lies_about_its_size_gives_no_more_than_it_says(tmp_path: Path) -> None:
    path = archive(tmp_path / "p.zip", {"a.png": bytes(1000)})
    raw = path.read_bytes()
    assert raw.count((1000).to_bytes(4, "little")) == 2
    path.write_bytes(raw.replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    (picture,) = pictures.find([str(path)])
    try:
        assert len(picture.read()) <= 10
    except ImageError as failure:
        assert "a.png" in str(failure)


def test_zip_archive_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "p.zip", {"a.png": bytes(1000)}, zipfile.ZIP_STORED)
    raw = path.read_bytes()
    (tmp_path / "cut.zip").write_bytes(raw[:-30])
    assert "no whole .zip" in refusal(tmp_path / "cut.zip")
    (tmp_path / "text.zip").write_text("hello")
    assert "no whole .zip" in refusal(tmp_path / "text.zip")
    (tmp_path / "none.zip").write_bytes(archive(tmp_path / "e.zip", {"a.txt": b""}).read_bytes())
    assert "holds no picture" in refusal(tmp_path / "none.zip")
    changed = bytearray(raw)
    changed[500] ^= 1
    path.write_bytes(changed)
    (picture,) = pictures.find([str(path)])
    with pytest.raises(ImageError, match=r"p\.zip/a\.png.*CRC"):
        picture.read()


def test_is_one_file_knows_one_picture() -> None:
    assert pictures.is_one_file(["a.JPG"])
    assert pictures.is_one_file(["-"])
    assert not pictures.is_one_file(["a.jpg", "b.jpg"])
    assert not pictures.is_one_file(["folder"])
