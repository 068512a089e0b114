"""Rows of a csv that every reader takes for the same, and that no spreadsheet runs.

A spreadsheet runs a cell that begins with `=`, `+`, `-`, `@` or some white space as a formula. So a
path that does has `./` before it, which is the same file; a label, an error and other text has a
`'` before it, also after a `;` or a tab, where some spreadsheets begin a cell. Text that has a `'`
in such a place gets another, so that taking one away gives the text. The file is valid UTF-8, see
`runtime.escapes.unicode_text`.
"""

import re

from audiotag.runtime.escapes import from_unicode_text, unicode_text

CSV_COLUMNS = ("path", "start", "end", "label", "mid", "score", "error", "warning", "guess")
EVENT_COLUMNS = (*CSV_COLUMNS, "peak", "mean")
NEEDED = {"path", "error"}  # columns without which an output cannot be gone on with
BOM = "\ufeff"  # tells Excel that a csv is in UTF-8
STANDARD_INPUT = "-"  # no path, and alone no formula
FORMULA = "=+\\-@\t\r\n＝＋－＠"  # a cell that begins so is run
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
    """Text that no spreadsheet runs; `original` gives the text back."""
    return CELL_START.sub(r"\1'", text)


def original(cell: str) -> str:
    """The text that a cell of `csv_line` other than a path stands for."""
    return MARKED.sub(r"\1", from_unicode_text(cell))


def path_of(cell: str) -> str:
    """The path that a cell stands for: that of the same file."""
    return from_unicode_text(cell)


def _cell(name: str, value: str | float) -> str:
    if not isinstance(value, str):
        return str(value)
    text = unicode_text(_path(value) if name == PATH else harmless(value))
    return '"' + text.replace('"', '""') + '"' if TO_QUOTE.search(text) else text


def _path(path: str) -> str:
    return f"./{path}" if RUN.match(path) and path != STANDARD_INPUT else path
