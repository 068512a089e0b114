"""The pipes between a helper and the process that asks it: read and written with patience."""

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

TICK = 0.1  # s between looks at whether to go on waiting
PIPE_BYTES = 2**20  # with the usual 64 KiB, both processes would take ten turns for a block


class StoppedError(Exception):
    """Decoding was given up: nobody wants the rest."""


class GoneError(Exception):
    """A helper has ended."""


class SlowError(Exception):
    """A helper has kept this process waiting for too long."""


class _Thread(threading.local):
    """What a thread was told by `until`."""

    stopped: threading.Event | None = None


_THREAD = _Thread()


@contextmanager
def until(stopped: threading.Event) -> Iterator[None]:
    """Have what this thread decodes end soon after an event is set, with a StoppedError."""
    before, _THREAD.stopped = _THREAD.stopped, stopped
    try:
        yield
    finally:
        _THREAD.stopped = before


class Pipe:
    """An end of a pipe, read or written with patience.

    Args:
        file: Unbuffered.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._poll: Any = None
        if sys.platform != "win32":  # which cannot wait for a pipe; there nothing is ended
            os.set_blocking(file.fileno(), False)
            self._poll = select.poll()
            self._poll.register(file, select.POLLOUT if file.writable() else select.POLLIN)

    def read(self, size: int, patience: float) -> bytearray:
        """So many bytes, of which some must come at least every `patience` seconds."""
        content = bytearray(size)
        rest = memoryview(content)
        while rest:
            self._wait(patience)
            count = self._file.readinto(rest)
            if count == 0:
                raise GoneError
            rest = rest[count or 0 :]
        return content

    def write(self, content: bytes, patience: float) -> None:
        """Write, as `read` reads."""
        rest = memoryview(content)
        while rest:
            self._wait(patience)
            try:
                rest = rest[self._file.write(rest) or 0 :]
            except BrokenPipeError as error:
                raise GoneError from error

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def _wait(self, patience: float) -> None:
        """Wait until something can be done. Time in which this process is stopped does not count.

        Raises:
            SlowError: For `patience` seconds nothing could.
            StoppedError: As `in_helper`.
        """
        ticks = 0
        while True:
            if _THREAD.stopped is not None and _THREAD.stopped.is_set():
                raise StoppedError
            if self._poll is None or self._poll.poll(TICK * 1000):
                return
            ticks += 1
            if ticks * TICK >= patience:
                raise SlowError


def widen(pipe: Any) -> None:
    """Let a pipe hold as much as it may, where the system can be asked to."""
    if sys.platform == "linux":
        fcntl = import_module("fcntl")
        with suppress(OSError):  # a user's pipes may hold so much in all
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
