"""What standard error shows while a data set is prepared, downloaded or verified."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from audiotag.cli.progress.line import StatusLine

if TYPE_CHECKING:
    from audiotag.data.progress import PreparationState

LOG_EVERY = 30.0  # seconds, where standard error goes to a file


class PrepareProgress:
    """Says how far a run is, how fast, and how long it will take."""

    def __init__(self) -> None:
        self._line = StatusLine(LOG_EVERY)
        self._start = time.monotonic()
        self._last: PreparationState | None = None

    def __call__(self, progress: "PreparationState") -> None:
        """Show it, now and then."""
        self._last = progress
        if self._line.is_due:
            self._line.show(self._describe(progress))

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
            self._line.keep(self._describe(self._last))

    def _describe(self, progress: "PreparationState") -> str:
        return describe(progress, time.monotonic() - self._start)


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
