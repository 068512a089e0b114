"""The line on standard error that shows the progress of a command."""

import os
import sys
import time
from contextlib import suppress

import click

from audiotag.runtime.escapes import printable

REFRESH = 0.2  # seconds
WIDTH = 80  # columns, if the terminal does not say
CLEAR = "\r\x1b[K"  # to the start of the line, and erase it


class StatusLine:
    """A line on a terminal, in which each text replaces the last.

    Args:
        log_every: Seconds from one line to the next if standard error is a file; if None, no line
            is written there.
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
        """Show a text, which the next one replaces."""
        self._shown = time.monotonic()
        if self.is_live:
            click.echo(f"{CLEAR}{_one_line(text)}", err=True, nl=False)
        else:
            click.echo(text, err=True)

    def keep(self, text: str) -> None:
        """Show the last text, and leave it."""
        click.echo(f"{CLEAR}{text}" if self.is_live else text, err=True)

    def clear(self) -> None:
        """Remove the line, to make room for other output."""
        if self.is_live:
            click.echo(CLEAR, err=True, nl=False)


def _one_line(text: str) -> str:
    """The text, cut to one line of the terminal: text in a second line would not be erased."""
    from rich.cells import cell_len, set_cell_size

    shown = printable(text.expandtabs(1), sys.stderr.encoding)
    width = _width() - 1  # terminals differ in what follows the last column
    return shown if cell_len(shown) <= width else set_cell_size(shown, width)


def _width() -> int:
    """Columns of the terminal."""
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or WIDTH
    return WIDTH
