"""Standard input, output and error, in any state that a shell or a scheduler leaves them in.

- A closed stream is opened to nothing. Otherwise the next file that is opened would take its place,
  and what a library prints would be written to that file.
- If standard output cannot be written, that is an error, as for any other output.
- If standard error cannot be written, its text is lost: a full log must not end hours of work.
- A character that the encoding lacks is written as its code.
"""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from audiotag.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

REMEDY = "make room for it, or send it to another place"


def guard_standard_streams() -> None:
    """Make the standard streams of this process safe; streams that a program replaced stay."""
    for descriptor in range(3):
        _open_if_closed(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_StandardOutput(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_StandardError(2, "w", closefd=False), sys.stderr)


@contextmanager
def flushed() -> Iterator[None]:
    """A context at whose end all printed text is written.

    Raises:
        OutputError: If it cannot be written.
    """
    try:
        yield
    finally:
        with suppress(BrokenPipeError):
            sys.stdout.flush()


class _StandardOutput(io.FileIO):
    """Standard output; the first write that fails raises the error, and later ones do nothing."""

    _has_failed = False

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write data; returns how much of it, in bytes."""
        if self._has_failed:  # buffered text is written when the process ends
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self._has_failed = True
            if isinstance(error, BrokenPipeError):  # the reader has ended
                raise
            reason = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise OutputError(f"standard output cannot be written ({reason}); {REMEDY}") from error


class _StandardError(io.FileIO):
    """Standard error, which never fails, and writes what it can."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write data; returns its size in bytes."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _open_if_closed(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        # Standard output is opened so that it cannot be written: results must not be lost there.
        opened = os.open(os.devnull, os.O_RDONLY if descriptor < 2 else os.O_WRONLY)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
        os.set_inheritable(descriptor, True)


def _text(raw: io.FileIO, former: TextIO | None) -> TextIO:
    """A stream of text into `raw`, encoded as the former one."""
    encoding = None if former is None else former.encoding
    is_live = raw.isatty() or raw.fileno() == 2
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=is_live
    )
