"""What standard error shows while a data set is prepared."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from audiotag.data.progress import PreparationState

REFRESH = 0.2  # seconds, on a terminal
LOG_REFRESH = 30.0  # seconds, where standard error goes to a file: a line each time


class PrepareProgress:
    """A line that says how far a run is, how fast, and how long it will take."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._begun = self._shown = time.monotonic()
        self._last: PreparationState | None = None

    def __call__(self, progress: "PreparationState") -> None:
        """Show it, now and then."""
        self._last = progress
        now = time.monotonic()
        if now >= self._shown + (REFRESH if self._live else LOG_REFRESH):
            self._shown = now
            self._show(progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last state to be read."""
        if self._last is not None:
            self._show(self._last)
            click.echo(err=True, nl=self._live)

    def _show(self, progress: "PreparationState") -> None:
        text = describe(progress, time.monotonic() - self._begun)
        click.echo(f"\r\x1b[K{text}" if self._live else text, err=True, nl=not self._live)


def describe(progress: "PreparationState", seconds: float) -> str:
    """A run's state after so many seconds."""
    now = progress.recordings - progress.before
    left = round((progress.total - progress.recordings) * seconds / now)
    text = (
        f"{progress.recordings:,} of {progress.total:,} recordings, {progress.clips:,} clips, "
        f"{progress.clips / seconds:,.0f} clips/s"
    )
    if progress.failures:
        text += f", {progress.failures:,} left out"
    if left:
        text += f", {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
    return text
