"""Rows of a csv, read back by Python's reader."""

import csv
import io
import itertools
import os

import pytest

from audiotag.tagging.csv_rows import CSV_COLUMNS, csv_header, csv_line, harmless, original, path_of

NASTY = (
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\ttab",
    "\rcr",
    "\nlf",
    "＝1",
    "'",
    "'=",
    "a;=b",
    "a\t=b;'c",
    "",
)
NAMES = ("a\rb.wav", "a\nb.wav", 'a"b.wav', "a;b.wav", "a,b.wav", "a\r\nb.wav", "é – 音.wav", " a")
BYTES = ("caf\udce9.wav", r"\udce9.wav", "\udcff\n;=.wav")


def read(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


@pytest.mark.parametrize("name", [*NASTY[:-1], *NAMES, *BYTES])
def test_paths_come_back_as_the_same_file(name):
    text = csv_header() + csv_line({"path": name, "start": 0.0, "label": "Cat"})
    header, row = read(text.encode().decode())
    assert tuple(header) == CSV_COLUMNS and row[1:4] == ["0.0", "", "Cat"]
    assert os.path.normpath(path_of(row[0])) == name
    assert not row[0].startswith(tuple("=+-@\t\r\n"))


def test_names_that_nothing_runs_stay_as_they_are():
    for name in ("a b.wav", "-", "/in/-.wav", "x=1.wav", "it's.wav", r"C:\a.wav"):
        assert read(csv_line({"path": name}))[0][0] == name


@pytest.mark.parametrize("column", ["label", "mid", "error", "warning"])
@pytest.mark.parametrize("text", [*NASTY, *NAMES, *BYTES])
def test_text_comes_back(column, text):
    (row,) = read(csv_line({"path": "a.wav", column: text}).encode().decode())
    cell = row[CSV_COLUMNS.index(column)]
    assert original(cell) == text
    assert not cell.startswith(tuple("=+-@\t\r\n＝"))


def test_no_piece_begins_a_formula_wherever_a_spreadsheet_cuts():
    pieces = ("=", "'", ";", "\t", "\n", "a", "-")
    for parts in itertools.product(pieces, repeat=4):
        text = "".join(parts)
        assert original(harmless(text)) == text
        for delimiter in ";\t\n":
            cut = harmless(text).split(delimiter)
            assert not any(piece.startswith(("=", "-", "\t", "\n")) for piece in cut if piece)


def test_a_spreadsheet_that_cuts_at_semicolons_finds_no_formula_in_a_name():
    ((cell, *_),) = read(csv_line({"path": "a;=1+1.wav", "label": "Cat"}), delimiter=";")
    assert cell.startswith("a;=1+1.wav")
