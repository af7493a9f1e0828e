"""Archives whose directory would fill the memory, and what is read of others."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgewright.runtime import pictures
from edgewright.runtime.bundle import arrays
from edgewright.runtime.disk import outside, zips
from edgewright.runtime.errors import BundleError, DataError, ImageError

MEMBERS = 40_000


@pytest.fixture(scope="module")
def crowded() -> bytes:
    """A zip of 1.8 MB that says it holds 40,000 files of no name."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, 0, *[0] * 14)
    directory = entry * MEMBERS
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, MEMBERS, MEMBERS, len(directory), 0, 0)
    raw = b"PK\3\4" + directory + end  # which is how arrays are known to be in an archive
    assert len(zipfile.ZipFile(io.BytesIO(raw)).infolist()) == MEMBERS
    return raw


def test_archive_of_more_members_than_it_has_room_for_is_refused_before_they_are_made(crowded: bytes) -> None:
    with pytest.raises(zipfile.BadZipFile, match=r"expected at most 15,375 members.* got 40,000"):
        zips.archive(io.BytesIO(crowded))


def test_crowded_archive_is_no_pictures_no_arrays_and_no_golden_images(
    crowded: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "pictures.zip"
    path.write_bytes(crowded)
    (picture,) = pictures.find([str(path)])
    with pytest.raises(ImageError, match="expected at most 15,375 members"):
        picture.read()
    with (
        pytest.raises(DataError, match="expected at most 15,375 members"),
        outside.arrays(path, DataError, "arrays"),
    ):
        pass
    with pytest.raises(BundleError, match="expected at most 15,375 members"):
        arrays.parse(path, crowded)


def test_archive_of_many_small_pictures_is_read() -> None:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for number in range(3_000):
            archive.writestr(f"pictures/{number}.png", bytes(67))  # the smallest PNG there is
    assert len(zips.archive(memory).infolist()) == 3_000


def test_arrays_of_an_archive_within_an_archive_are_read(tmp_path: Path) -> None:
    inner = b"PK\1\2" * 5_000
    np.savez(tmp_path / "a.npz", x=np.frombuffer(inner, np.uint8))
    with outside.arrays(tmp_path / "a.npz", DataError, "arrays") as found:
        assert found["x"].tobytes() == inner


def test_member_is_read_up_to_a_size() -> None:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(1_000))
    archive = zips.archive(memory)
    assert zips.member(archive, "a", 1_000) == bytes(1_000)
    with pytest.raises(zipfile.BadZipFile, match="expected at most 999 bytes in 'a', got 1,000"):
        zips.member(archive, "a", 999)
