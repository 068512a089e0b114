"""The line on standard error that says how far a command is."""

import os
import sys
import time
from contextlib import suppress

import click

from audiotag.runtime.escapes import printable

REFRESH = 0.2  # seconds
WIDTH = 80  # columns, where the terminal does not say
CLEAR = "\r\x1b[K"  # to the start of the line, and erase it


class StatusLine:
    """A line on a terminal, where each text takes the place of the last.

    Args:
        log_every: Where standard error goes to a file, seconds from one line there to the next;
            none are written if None.
    """

    def __init__(self, log_every: float | None = None) -> None:
        self.is_live = sys.stderr.isatty()
        self._every = REFRESH if self.is_live else log_every
        self._shown = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last text is old enough to be replaced."""
        return self._every is not None and time.monotonic() >= self._shown + self._every

    def show(self, text: str) -> None:
        """Show a text, to be replaced."""
        self._shown = time.monotonic()
        if self.is_live:
            click.echo(f"{CLEAR}{_one_line(text)}", err=True, nl=False)
        else:
            click.echo(text, err=True)

    def keep(self, text: str) -> None:
        """Show the last text, and leave it."""
        click.echo(f"{CLEAR}{text}" if self.is_live else text, err=True)

    def clear(self) -> None:
        """Make room for other output."""
        if self.is_live:
            click.echo(CLEAR, err=True, nl=False)


def _one_line(text: str) -> str:
    """Text as far as it fits into a line of the terminal: what goes on in the next one would not
    be erased."""
    from rich.cells import cell_len, set_cell_size

    shown = printable(text.expandtabs(1), sys.stderr.encoding)
    width = _width() - 1  # terminals differ in what follows the last column
    return shown if cell_len(shown) <= width else set_cell_size(shown, width)


def _width() -> int:
    """Columns of the terminal."""
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or WIDTH
    return WIDTH
