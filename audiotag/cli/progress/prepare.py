"""The progress of preparing, downloading or verifying a data set, on standard error."""

import time
from typing import TYPE_CHECKING, Self

from audiotag.cli.progress.line import StatusLine

if TYPE_CHECKING:
    from audiotag.data.progress import PreparationState

LOG_EVERY = 30.0  # seconds, if standard error is a file


class PrepareProgress:
    """Shows the progress of a run, its speed, and the time left."""

    def __init__(self) -> None:
        self._line = StatusLine(LOG_EVERY)
        self._start = time.monotonic()
        self._last: PreparationState | None = None

    def __call__(self, progress: "PreparationState") -> None:
        """Show the progress, from time to time."""
        self._last = progress
        if self._line.is_due:
            self._line.show(self._describe(progress))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last state on the terminal."""
        if self._last is not None:
            self._line.keep(self._describe(self._last))

    def _describe(self, progress: "PreparationState") -> str:
        return describe(progress, time.monotonic() - self._start)


def describe(progress: "PreparationState", seconds: float) -> str:
    """The state of a run that has taken `seconds`."""
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
