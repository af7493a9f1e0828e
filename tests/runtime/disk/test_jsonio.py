"""JSON from disk ends in one clear error of the caller's kind, whatever it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgewright.runtime.disk import jsonio
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import BundleError


def of(value: Any) -> JsonObject:
    return JsonObject({"key": value}, "here", BundleError)


@pytest.mark.parametrize(
    ("method", "good", "bad"),
    [
        ("text", ["", "a"], [None, 1, ["a"]]),
        ("integer", [0, 2**53], [None, -1, 1.0, True, "1", 2**53 + 1, 10**400]),
        ("number", [0, -1.5, 3], [None, True, "1", float("nan"), float("inf"), 10**400, -(10**400)]),
        ("flag", [True, False], [None, 0, "true"]),
        ("array", [[], [1]], [None, {}, "ab"]),
        ("texts", [["a", "b"]], [None, "ab", ["a", 1], [None]]),
        ("integers", [[1, -2]], [None, [1.0], [True], ["1"]]),
        ("object", [{}], [None, [], "{}"]),
        ("objects", [[], [{}]], [None, {}, [1], [[]]]),
    ],
)
def test_json_object_takes_each_kind_of_value_and_names_every_other(
    method: str, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        getattr(of(value), method)("key")
    for value in bad:
        with pytest.raises(BundleError, match=r"here.*, got "):
            getattr(of(value), method)("key")


def test_json_object_values_come_back_as_they_stand() -> None:
    obj = JsonObject({"a": "x", "b": [1, 2], "c": {"d": 2.5}}, "here", BundleError)
    assert obj.text("a") == obj.choice("a", ("x", "y")) == "x"
    assert obj.integers("b") == (1, 2)
    assert obj.object("c").number("d") == 2.5
    assert obj.has("a")
    assert not obj.has("nowhere")


def test_json_object_choice_names_the_allowed_ones() -> None:
    with pytest.raises(BundleError, match=r"expected 'key' to be one of crop, stretch in here, got \"fill\""):
        of("fill").choice("key", ("crop", "stretch"))


def test_json_object_names_a_missing_key_and_its_place() -> None:
    with pytest.raises(BundleError, match=r"expected 'size' to be a finite number in here: key, got nothing"):
        of({}).object("key").number("size")
    with pytest.raises(BundleError, match=r"here: key\[1\]"):
        of([{"a": "x"}, {}]).objects("key")[1].text("a")


def test_json_object_cuts_a_long_value_in_the_message() -> None:
    with pytest.raises(BundleError) as failure:
        of("x" * 10_000).integer("key")
    assert len(str(failure.value)) < 200


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe{}",
        b"{",
        b"[]",
        b"7",
        b'{"a": 1}{',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a": 1, "b": 2, "a": 1}',
        b'{"a": [{"b": {"c": 1, "c": 2}}]}',
    ],
    ids=[
        "empty",
        "not UTF-8",
        "cut off",
        "list",
        "number",
        "two",
        "deep",
        "endless number",
        "twice",
        "twice inside",
    ],
)
def test_jsonio_parse_refuses_what_is_no_json_object(raw: bytes) -> None:
    with pytest.raises(BundleError, match="here"):
        jsonio.parse(raw, "here", BundleError)


def test_jsonio_parse_names_a_key_that_comes_twice_among_many() -> None:
    raw = b"{" + b",".join(b'"%d": 0' % (i % 99_999) for i in range(100_000)) + b"}"
    with pytest.raises(BundleError, match='"0" comes twice'):
        jsonio.parse(raw, "here", BundleError)


def test_jsonio_read_takes_a_file_and_names_one_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(jsonio.dump({"key": "ß"}))
    assert jsonio.read(path, BundleError).text("key") == "ß"
    for bad in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(BundleError, match=str(bad)):
            jsonio.read(bad, BundleError)


def test_jsonio_read_refuses_a_huge_file_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(jsonio.MAX_BYTES + 1)
    with pytest.raises(BundleError, match=f"at most {jsonio.MAX_BYTES:,} bytes"):
        jsonio.read(path, BundleError)


def test_jsonio_dump_is_utf8_and_never_nan() -> None:
    assert jsonio.dump({"a": "ß"}, indent=None) == b'{"a": "\xc3\x9f"}\n'
    with pytest.raises(ValueError, match="JSON"):
        jsonio.dump({"a": float("nan")})
