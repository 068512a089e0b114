"""Rows of a csv that all programs read in the same way, and in which no spreadsheet sees a formula.

A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@` or some white space for a formula. A
path that begins so gets the prefix `./`, and names the same file. Other text (labels, errors) gets
the prefix `'`, also after a `;` or a tab, where some spreadsheets begin a cell. Text that already
has a `'` in such a place gets another one, so removing one `'` always restores the text. The file
is valid UTF-8; see `runtime.escapes.unicode_text`.
"""

import re

from audiotag.runtime.escapes import from_unicode_text, unicode_text

CSV_COLUMNS = ("path", "start", "end", "label", "mid", "score", "error", "warning", "guess")
EVENT_COLUMNS = (*CSV_COLUMNS, "peak", "mean")
NEEDED = {"path", "error"}  # columns without which an output cannot be gone on with
BOM = "\ufeff"  # tells Excel that a csv is in UTF-8
STANDARD_INPUT = "-"  # not a path, and alone not a formula
FORMULA = "=+\\-@\t\r\n＝＋－＠"  # a cell that begins with one is a formula
RUN = re.compile(f"[{FORMULA}]")
CELL_START = re.compile(rf"(^|[;\t\r\n])(?=[{FORMULA}'])")
MARKED = re.compile(r"(^|[;\t\r\n])'")
TO_QUOTE = re.compile(r'[,;"\t\r\n]')
PATH = "path"

Row = dict[str, str | float]  # cells by column; those that are missing are empty


def csv_line(row: Row, columns: tuple[str, ...] = CSV_COLUMNS) -> str:
    """A row of a csv."""
    return ",".join(_cell(name, row.get(name, "")) for name in columns) + "\n"


def csv_header(columns: tuple[str, ...] = CSV_COLUMNS) -> str:
    """The first row."""
    return ",".join(columns) + "\n"


def harmless(text: str) -> str:
    """Text in which no spreadsheet sees a formula; `original` restores the text."""
    return CELL_START.sub(r"\1'", text)


def original(cell: str) -> str:
    """The text that a cell of `csv_line` other than a path stands for."""
    return MARKED.sub(r"\1", from_unicode_text(cell))


def path_of(cell: str) -> str:
    """The path in a cell; it names the same file as the path that was written."""
    return from_unicode_text(cell)


def _cell(name: str, value: str | float) -> str:
    if not isinstance(value, str):
        return str(value)
    text = unicode_text(_path(value) if name == PATH else harmless(value))
    return '"' + text.replace('"', '""') + '"' if TO_QUOTE.search(text) else text


def _path(path: str) -> str:
    return f"./{path}" if RUN.match(path) and path != STANDARD_INPUT else path
