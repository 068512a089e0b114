"""Progress: what standard error shows while files are worked on, and how a run ends."""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import click
from tqdm import tqdm

from audiotag.tagging.text import clock

REFRESH = 0.2  # seconds
INTERRUPTED = 130  # exit code of a program that Ctrl-C ended, by convention


class Progress:
    """A line on a terminal's standard error, failures by name, and counts.

    Args:
        count: The files again, counted meanwhile to know how many there are; None if they can be
            read only once.
    """

    def __init__(self, count: Iterable[Path] | None) -> None:
        self.done = self.failed = self.skipped = 0
        self._seconds = 0.0  # of audio, in files that are through
        self._shown = 0.0
        self._count = count

    def __enter__(self) -> Self:
        self._bar = tqdm(
            unit=" files",
            disable=not sys.stderr.isatty(),
            leave=False,
            bar_format="{n_fmt}/{total_fmt} files{postfix}",
        )
        if self._count is not None and not self._bar.disable:
            threading.Thread(target=self._find_total, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def heard(self, path: Path, second: float) -> None:
        """Show how far a file is, now and then."""
        if self._bar.disable or time.monotonic() < self._shown + REFRESH:
            return
        self._shown = time.monotonic()
        speed = (self._seconds + second) / max(self._bar.format_dict["elapsed"], 1e-3)
        self._bar.set_postfix_str(f"{speed:.0f} x real time, {path.name} at {clock(second)}")

    def skip(self) -> None:
        """Count a file that an earlier run has done."""
        self.skipped += 1
        self._bar.update()

    @contextmanager
    def count(self, path: str, duration: float | None, error: str | None) -> Iterator[None]:
        """Count a file, reported if it failed, whose result is printed meanwhile."""
        with tqdm.external_write_mode(file=sys.stdout):
            yield
            if error is not None:
                click.echo(f"{path}: {error}", err=True)
        self.failed += error is not None
        self.done += error is None
        self._seconds += duration or 0.0
        self._bar.update()

    @property
    def exit_code(self) -> int:
        """0 if all files could be done, 1 if some could not."""
        return 1 if self.failed else 0

    def summary(self) -> str:
        """How many files were done, failed, were skipped."""
        text = f"{self.done} file{'' if self.done == 1 else 's'} done"
        if self.failed:
            text += f", {self.failed} failed"
        if self.skipped:
            text += f", {self.skipped} done before"
        return text

    def _find_total(self) -> None:
        self._bar.total = sum(1 for _ in self._count or ())


@contextmanager
def interruptible(progress: Progress, output: str | None) -> Iterator[None]:
    """End with one line and code 130 on Ctrl-C.

    Args:
        progress: Says what has been done.
        output: Where it is; None if on standard output.
    """
    try:
        yield
    except KeyboardInterrupt:
        kept = f", kept in {output}" if output and progress.done else ""
        click.echo(f"Stopped: {progress.summary()}{kept}", err=True)
        sys.exit(INTERRUPTED)
