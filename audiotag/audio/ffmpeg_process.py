"""FFmpeg in processes of its own, where there is much to decode.

PyAV releases Python's lock and takes it back four times for each packet, some 20 ms of sound:
threads that decode at once wait for the lock longer than they decode, and hold up those that
compute. So a thread has a helper, a process that decodes for it:

    thread --sys.path; (source, start, duration); ..., pickled--> helper
    thread <--READY; rate, samples; rate, samples; ...; END, reason-- helper
"""

import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import IO, Any

import numpy as np

from audiotag.audio.ffmpeg import with_pyav
from audiotag.audio.sources import Block, DecodeError, Source
from audiotag.runtime.allocator import keep_freed_memory

WORTH = 2**20  # bytes that take about as long to decode as a helper takes to start
PIPE_BYTES = 2**20  # with the usual 64 KiB, both processes would take 64 turns for a block
IDLE = 30.0  # s without a request after which a helper ends
READY = b"r"
HEADER = struct.Struct("<qq")  # rate in Hz and number of samples; or END and bytes of the reason
END = 0
# Modules are found as in the process that asks, which may have changed its path since it began.
PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    f"import {__name__} as helper; helper.serve()"
)


def with_ffmpeg(source: Source, start: float, duration: float) -> Iterator[Block]:
    """Decode as `ffmpeg.with_pyav`, with the same errors: the first files here, then in helpers."""
    helper = HELPERS.take(source, start, duration)
    if helper is None:
        yield from with_pyav(source, start, duration)
        return
    try:
        yield from helper.blocks()
    finally:
        HELPERS.give_back(helper)


class Helper:
    """A process that decodes one file at a time.

    Attributes:
        process: The process.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self) -> None:
        if getattr(sys, "frozen", False):
            raise OSError("the program that runs is not Python alone")
        command = [sys.executable, "-P", "-c", PROGRAM]
        pipe, discard = subprocess.PIPE, subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=discard)
        assert self.process.stdin is not None and self.process.stdout is not None
        self._requests: IO[bytes] = self.process.stdin
        self._answers: Any = self.process.stdout
        _widen(self._answers)
        self._is_free = True
        self._send([str(folder) for folder in sys.path])

    @property
    def is_free(self) -> bool:
        """Whether it has sent all that it was asked for, and still runs."""
        return self._is_free and self.process.poll() is None

    def ask(self, source: Source, start: float, duration: float) -> None:
        """Ask for a file's blocks.

        Raises:
            OSError: The process has ended meanwhile.
        """
        self._is_free = False
        full = source if isinstance(source, bytes) else source.absolute()
        self._send((full, start, duration))

    def blocks(self) -> Iterator[Block]:
        """The blocks that it was asked for.

        Raises:
            DecodeError: As `ffmpeg.with_pyav`, or the process has crashed.
        """
        while True:
            rate, count = HEADER.unpack(self._fill(bytearray(HEADER.size)))
            if rate == END:
                break
            mono = np.empty(count, np.float32)
            self._fill(mono.view(np.uint8))
            yield rate, mono
        reason = self._fill(bytearray(count)).decode()
        self._is_free = True
        if reason:
            raise DecodeError(reason)

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self.process.kill()
        self.process.communicate()

    def _send(self, message: object) -> None:
        """Send a message, and wait until the process has taken it.

        Raises:
            OSError: The process has ended.
        """
        try:
            pickle.dump(message, self._requests)
            self._requests.flush()
        except OSError:
            self.stop()
            raise
        if self._answers.read(len(READY)) != READY:
            self.stop()
            raise OSError("the process has ended")

    def _fill(self, buffer: Any) -> Any:
        """Fill a buffer with the bytes that come next, and return it."""
        if self._answers.readinto(buffer) < len(buffer):
            raise DecodeError("cannot be decoded (FFmpeg crashed)")
        return buffer


class Helpers:
    """The helpers of this process, started when there is enough to decode.

    Attributes:
        free: Helpers that wait for a file.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start without helpers, as a forked process has to: they answer to its parent."""
        self._lock = threading.Lock()
        self._bytes = 0  # of all files asked for so far
        self._can_start = True
        self.free: list[Helper] = []

    def take(self, source: Source, start: float, duration: float) -> Helper | None:
        """A helper that has been asked for a file; None where this process is to decode it."""
        with self._lock:
            self._bytes += _size(source)
        while self._bytes > WORTH and self._can_start:
            with self._lock:
                helper = self.free.pop() if self.free else None
            try:
                taken = helper or Helper()
                taken.ask(source, start, duration)
                return taken
            except OSError:
                self._can_start &= helper is not None  # a new one should have gone well
        return None

    def give_back(self, helper: Helper) -> None:
        """Take a helper back when its file is decoded, or no more of it is wanted."""
        if not helper.is_free:
            helper.stop()
            return
        with self._lock:
            self.free.append(helper)


HELPERS = Helpers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=HELPERS.forget)


def serve() -> None:
    """Be a helper: decode what standard input asks for, until it ends or is silent for `IDLE`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the process that asks
    keep_freed_memory()
    import_module("av")
    answers = sys.stdout.buffer
    _write(answers, READY)
    while (request := _next_request()) is not None:
        _write(answers, READY)
        reason = b""
        try:
            for rate, mono in with_pyav(*request):
                answers.write(HEADER.pack(rate, len(mono)))
                answers.write(mono.data)
        except DecodeError as error:
            reason = str(error).encode()
        _write(answers, HEADER.pack(END, len(reason)) + reason)


def _write(answers: IO[bytes], data: bytes) -> None:
    answers.write(data)
    answers.flush()


def _next_request() -> tuple[Source, float, float] | None:
    end = threading.Timer(IDLE, os._exit, [0])
    end.daemon = True
    end.start()
    try:
        return pickle.load(sys.stdin.buffer)
    except EOFError:
        return None
    finally:
        end.cancel()


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold as much as it may, where the system can be asked to."""
    if sys.platform == "linux":
        fcntl = import_module("fcntl")
        with suppress(OSError):  # a user's pipes may hold so much in all
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _size(source: Source) -> int:
    """Bytes of a file."""
    return len(source) if isinstance(source, bytes) else source.stat().st_size
