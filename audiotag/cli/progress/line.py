"""The line on standard error that says how far a command is."""

import sys
import time

import click

REFRESH = 0.2  # seconds
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
        click.echo(f"{CLEAR}{text}" if self.is_live else text, err=True, nl=not self.is_live)

    def keep(self, text: str) -> None:
        """Show the last text, and leave it."""
        click.echo(f"{CLEAR}{text}" if self.is_live else text, err=True)

    def clear(self) -> None:
        """Make room for other output."""
        if self.is_live:
            click.echo(CLEAR, err=True, nl=False)
