"""Tables of labels: which picture has which, and what is no such table."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.runtime.errors import DataError
from edgewright.runtime.pictures import table


def write(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_one_class_a_picture(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffimage,label\na/1.jpg,dog\na/2.jpg,cat\n")
    found = table.read(path)
    assert found.images == (tmp_path / "a/1.jpg", tmp_path / "a/2.jpg")
    assert (found.labels, found.numbers, found.flags, found.splits) == (("cat", "dog"), (1, 0), None, ())


def test_several_labels_a_picture_as_columns_and_as_a_list(tmp_path: Path) -> None:
    columns = table.read(
        write(tmp_path, "image,cat,dog,split\n1.jpg,1,0,train\n2.jpg,1,1,val\n3.jpg,0,0,test\n")
    )
    assert columns.labels == ("cat", "dog")
    assert columns.flags == ((True, False), (True, True), (False, False))
    assert columns.splits == ("train", "train", "test")
    listed = table.read(write(tmp_path, "filename,labels\n1.jpg,cat\n2.jpg,dog; cat\n3.jpg,\n"))
    assert (listed.labels, listed.flags, listed.numbers) == (columns.labels, columns.flags, None)


def test_one_column_of_yes_and_no_is_two_classes(tmp_path: Path) -> None:
    found = table.read(write(tmp_path, "image,smiling\n1.jpg,1\n2.jpg,0\n"))
    assert (found.labels, found.numbers, found.flags) == (("not smiling", "smiling"), (1, 0), None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "which is empty"),
        ("1.jpg,cat\n", "first line 'image,label'"),
        ("image\n1.jpg\n", "a column of labels"),
        ("image,label\n", "a row a picture"),
        ("image,a,a\n1.jpg,0,1\n", "different names"),
        ("image,label\n1.jpg\n", "2 cells, the first a picture, in line 2"),
        ("image,label\n1.jpg,\n", "a label in line 2"),
        ("image,label\n1.jpg,cat\n", "2 to 65,536 labels"),
        ("image,a,b\n1.jpg,0,maybe\n", "0 or 1 for 'b' in line 2"),
        ("image,label,split\n1.jpg,a,later\n", "train or test as split in line 2"),
        ('image,label\n"1.jpg,a\n', "a CSV table in UTF-8"),
    ],
)
def test_what_is_no_table_is_refused_with_the_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        table.read(write(tmp_path, text))


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        table.read(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\0")
    with pytest.raises(DataError, match="in UTF-8"):
        table.read(tmp_path / "b.csv")
