"""No cell of text is a formula; numbers stay numbers, and what was escaped can be read again."""

from __future__ import annotations

import csv
import io

import pytest

from edgewright.runtime.disk import tables

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=", "-", "--1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_tables_cell_that_would_be_computed_is_text(text: str) -> None:
    assert tables.escaped(text) == f"'{text}"
    assert tables.plain(tables.escaped(text)) == text


@pytest.mark.parametrize(
    "text", ["", "cat", "a=b", "'", "'quoted'", "-0.5", "+3", "-1e-5", "-inf", " =1", "1"]
)
def test_tables_cell_that_is_text_or_a_number_stays_as_it_is(text: str) -> None:
    assert tables.escaped(text) == tables.plain(text) == text


@pytest.mark.parametrize("quote_all", [False, True])
def test_tables_rows_are_csv_in_which_numbers_are_numbers(quote_all: bool) -> None:
    lines = [["=x", -1, -0.5, "-0.5"], ['a "b", c', 2, 0.0, "two\nlines"]]
    found = list(csv.reader(io.StringIO(tables.rows(lines, quote_all=quote_all), newline="")))
    assert found == [["'=x", "-1", "-0.5", "-0.5"], ['a "b", c', "2", "0.0", "two\nlines"]]
