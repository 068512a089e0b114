"""The table that all commands print, on standard output."""

from collections.abc import Collection, Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from audiotag.runtime.escapes import printable

MIN_WIDTH = 120  # characters; without a terminal, rich would take 80


def open_console() -> Console:
    """Standard output: as wide as the terminal, or `MIN_WIDTH` without a terminal."""
    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        return console
    return Console(highlight=False, markup=False, width=max(console.width, MIN_WIDTH))


def print_grid(
    console: Console,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    words: Collection[str] = (),
) -> None:
    """Print a table of words on the left and numbers, which are not wrapped, on the right.

    Characters in cells, such as those of labels, that act on a terminal are escaped.

    Args:
        console: From `open_console`.
        columns: Heads of the columns.
        rows: Cells of each row.
        words: Columns, besides the first, that hold words.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        has_words = i == 0 or column in words
        table.add_column(column, justify="left" if has_words else "right", no_wrap=not has_words)
    for row in rows:
        table.add_row(*(printable(cell, console.encoding) for cell in row))
    console.print(table)
