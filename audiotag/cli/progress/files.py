"""The progress of tagging or embedding files, on standard error, and the message at the end."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self, TypeVar

from audiotag.audio.find_files import Skipped
from audiotag.audio.in_memory import Input
from audiotag.cli.progress.line import StatusLine
from audiotag.cli.say import say
from audiotag.tagging.results import FileEmbedding, FileTags
from audiotag.tagging.text import clock

Result = TypeVar("Result", FileTags, FileEmbedding)


class Progress:
    """Counts files, reports those that failed, and shows on a terminal how far the run is.

    Args:
        count: The files again, to count them in the background; None if they can be listed only
            once.
        skipped: Counts of what the search for files passes over.
    """

    def __init__(self, count: Iterable[Input] | None, skipped: Skipped | None = None) -> None:
        self.done = self.failed = self.skipped = 0
        self._seconds = 0.0  # of audio, in files that are done
        self._position = ""  # in the current file
        self._start = time.monotonic()
        self._total: int | None = None
        self._count, self._skipped = count, skipped
        self._line = StatusLine()

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        if self._count is not None and self._line.is_live:
            threading.Thread(target=self._find_total, daemon=True).start()
        self._show()
        return self

    def __exit__(self, *error: object) -> None:
        self._line.clear()

    def follow(
        self, results: Generator[Result, None, None], write: Callable[[Result], None]
    ) -> None:
        """Write and count each result, and update the line on the terminal."""
        with self, closing(results):
            for result in results:
                with self._counted(result):
                    write(result)

    def left(self, files: Iterable[Input], has: Callable[[Path], bool]) -> Iterator[Input]:
        """The files that an output does not have yet; files that it has are counted."""
        for file in files:
            if isinstance(file, Path) and has(file):  # standard input may be another sound now
                self.skip()
            else:
                yield file

    def heard(self, path: Input, second: float) -> None:
        """Show, from time to time, the position in a file."""
        if self._line.is_live:
            speed = (self._seconds + second) / max(time.monotonic() - self._start, 1e-3)
            self._position = f", {speed:.0f} x real time, {path.name} at {clock(second)}"
            if self._line.is_due:
                self._show()

    def skip(self) -> None:
        """Count a file that an earlier run has done."""
        self.skipped += 1
        if self._line.is_due:
            self._show()

    @property
    def exit_code(self) -> int:
        """0 if all files could be done, 1 if some could not."""
        return 1 if self.failed else 0

    def summary(self) -> str:
        """How many files were done, failed, or were skipped."""
        text = f"{self.done} file{'' if self.done == 1 else 's'} done"
        if self.failed:
            text += f", {self.failed} failed"
        if self.skipped:
            text += f", {self.skipped} done before"
        return text

    def report(self, output: str | None) -> None:
        """Say how many files were done, and what was passed over. Without an output, only what may
        surprise is said."""
        if output is not None:
            say(f"{self.summary()}: {output}")
        passed = None if self._skipped is None else self._skipped.describe(in_full=bool(output))
        if passed:
            say(f"Passed over: {passed}")

    def interruption(self, output: str | None, remedy: str = "") -> str:
        """The message for a stopped run: what is done, where it is kept, and how to resume."""
        if not (output and self.done):
            return f"Stopped: {self.summary()}"
        return f"Stopped: {self.summary()}, kept in {output}{'; ' if remedy else ''}{remedy}"

    @contextmanager
    def _counted(self, result: FileTags | FileEmbedding) -> Iterator[None]:
        """A context, in which a file's result may be printed; counts the file, and reports it if it
        failed."""
        self._line.clear()
        yield
        if result.error is not None:
            say(f"{result.path}: {result.error}")
        if result.warning is not None:
            say(f"{result.path}: warning: {result.warning}")
        self.failed += result.error is not None
        self.done += result.error is None
        self._seconds += result.duration or 0.0
        self._show()

    def _show(self) -> None:
        if self._line.is_live:
            through = self.done + self.failed + self.skipped
            total = "?" if self._total is None else self._total
            self._line.show(f"{through} of {total} files{self._position}")

    def _find_total(self) -> None:
        self._total = sum(1 for _ in self._count or ())
