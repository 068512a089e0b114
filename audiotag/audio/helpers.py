"""Decoding in helpers: processes that a file can hang, crash or fill, and no more than them.

A thread that decodes has a helper of its own, which it keeps from file to file. A helper that gives
no block for too long is ended, as one is that takes too much memory, and the file fails with that
reason. Where no process can be started, as in a program that was frozen, this one decodes.

Besides, helpers are faster: PyAV releases Python's lock and takes it back four times for each 20 ms
of sound, and threads that decode at once would wait for it longer than they decode.
"""

import atexit
import json
import logging
import os
import pickle
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from audiotag.audio.forked import can_fork, fork
from audiotag.audio.helper_process import (
    BLOCK,
    END,
    FRAME,
    SIZE,
    SLOWEST,
    WARNING,
    Blocks,
    Function,
    Request,
    UnforeseenError,
    Warn,
    contained,
)
from audiotag.errors import AudioError

logger = logging.getLogger(__name__)
# Seconds that a helper may take for a block, and compute for it; more of both for a large file.
PATIENCE, COMPUTING = 20.0, 10.0
START_PATIENCE = 60.0  # s that it may take to start
MEMORY = 2**30  # bytes that decoding a file may take
# Sound of a file at most: 9 hours at 32 kHz, and 1/8 s for each byte. Headers can promise more.
MOST_SAMPLES, SAMPLES_OF_BYTE = 2**30, 2**12
TICK = 0.1  # s between looks at whether to go on waiting
GONE = 1.0  # s that a process may take to end; one that waits for a broken disk cannot
PIPE_BYTES = 2**20  # with the usual 64 KiB, both processes would take ten turns for a block
# What decodes; FFmpeg comes with the first file that needs it.
MODULES = ["audiotag.audio.streams", "audiotag.audio.decoders", "soxr"]
ROOT = str(Path(__file__).parents[2])  # where the package is, should `sys.path` not lead to it
# NumPy would start a thread for each core, with memory that counts.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
# Modules are found as in the process that asks, which may have changed its path since it began.
PROGRAM = (
    "import pickle, sys; asked = open(0, 'rb'); sys.path[:], modules = pickle.load(asked); "
    "import audiotag.audio.helper_process as helper; helper.serve(asked, modules)"
)


class StoppedError(Exception):
    """Decoding was given up: nobody wants the rest."""


class _GoneError(Exception):
    """A helper has ended."""


class _SlowError(Exception):
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


def in_helper(name: str, function: Function, arguments: tuple[Any, ...], warn: Warn) -> Blocks:
    """Blocks of a file, as `function(*arguments, warn)` gives them in a helper, and the rate that
    it returns.

    Args:
        name: What messages call the file.
        function: Found by its name in the helper.
        arguments: The first is the file: its absolute path or its bytes.
        warn: Called with what is doubtful.

    Raises:
        AudioError: The file cannot be decoded, or was more than its helper can take; names the file
            and the reason.
        StoppedError: The event of `until` was set.
    """
    helper = HELPERS.take(name, function, arguments)
    if helper is None:
        try:
            return (yield from contained(name, function, arguments, warn))
        except UnforeseenError:
            logger.debug("a bug that %s shows", name, exc_info=True)
            raise
    try:
        return (yield from helper.blocks(warn))
    except GeneratorExit:
        helper.give_up()
        raise
    finally:
        HELPERS.give_back(helper)


class Helper:
    """A process that decodes one file at a time.

    Args:
        is_forked: Whether it begins as a copy of this process, see `forked`.

    Attributes:
        process: The process.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, is_forked: bool = False) -> None:
        self.process: Any = fork(MODULES) if is_forked else _started()
        self._to, self._from = _Pipe(self.process.stdin), _Pipe(self.process.stdout)
        _widen(self.process.stdout)
        self._request: Request | None = None  # being answered
        self._count = 0  # of requests
        self._size = 0  # of the file, in bytes
        if not is_forked:
            self._send(([*map(str, sys.path), ROOT], MODULES))

    @property
    def is_free(self) -> bool:
        """Whether it has answered all that it was asked, and still runs."""
        return self._request is None and self.process.poll() is None

    def ask(self, name: str, function: Function, arguments: tuple[Any, ...]) -> None:
        """Ask for a file's blocks.

        Raises:
            OSError: The process has ended meanwhile, or never begins.
            StoppedError: As `in_helper`.
        """
        self._count += 1
        self._size = 0
        self._request = Request(self._count, name, function, arguments, COMPUTING, MEMORY)
        self._send(self._request, has_answer=True)

    def blocks(self, warn: Warn) -> Blocks:
        """The blocks that it was asked for; errors as `in_helper`."""
        assert self._request is not None
        name = self._request.name
        try:
            return (yield from self._blocks(name, warn))
        except _SlowError as error:
            self.stop()
            raise AudioError(f"{name}: cannot be decoded ({self._slow(PATIENCE)})") from error
        except _GoneError as error:
            raise AudioError(f"{name}: cannot be decoded ({self._end()})") from error

    def give_up(self) -> None:
        """Have it leave the rest of its file, and wait until it has; if that takes long, end it."""
        if self._request is None:
            return
        try:
            self._to.write(pickle.dumps(self._count), GONE)
            while self._next(GONE)[0] != END:
                pass
            self._request = None
        except (_GoneError, _SlowError, StoppedError):
            self.stop()

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self.process.kill()
        self._wait_for_end()
        self.close()

    def close(self) -> None:
        """Close what leads to it, and from it."""
        self._to.close()
        self._from.close()

    def _send(self, message: object, has_answer: bool = False) -> None:
        """Send a message, and wait until it is taken where that is answered; errors as `ask`."""
        try:
            self._to.write(pickle.dumps(message), START_PATIENCE)
            if has_answer:
                self._next(START_PATIENCE)  # BEGUN
        except (_GoneError, _SlowError) as error:
            self.stop()
            raise OSError("the process has ended") from error
        except StoppedError:
            self.stop()
            raise

    def _blocks(self, name: str, warn: Warn) -> Blocks:
        import numpy as np

        samples = 0
        while True:
            kind, content = self._next(self._patience)
            if kind == BLOCK:
                block = np.frombuffer(content, np.float32)
                samples += len(block)
                if samples > MOST_SAMPLES + SAMPLES_OF_BYTE * self._size:
                    raise AudioError(f"{name}: cannot be decoded (its sound does not end)")
                yield block
            elif kind == WARNING:
                warn(content.decode("utf-8", "surrogatepass"))
            elif kind == END:
                break
        self._request = None
        outcome = json.loads(content)
        _report(name, outcome)
        return outcome["rate"]

    def _next(self, patience: float) -> tuple[bytes, bytearray]:
        """Kind and content of what it answers next."""
        kind, size = FRAME.unpack(self._from.read(FRAME.size, patience))
        if kind == SIZE:
            self._size = size
            return kind, bytearray()
        return kind, self._from.read(size, patience)

    @property
    def _patience(self) -> float:
        """Seconds that it may take for a block."""
        return PATIENCE + self._size / SLOWEST

    def _wait_for_end(self) -> None:
        """Wait until the process has ended, but not for ever."""
        for _ in range(round(GONE / TICK * 10)):
            if self.process.poll() is not None:
                return
            time.sleep(TICK / 10)

    def _slow(self, seconds: float) -> str:
        return f"its decoder made no progress for {seconds + self._size / SLOWEST:.0f} s"

    def _end(self) -> str:
        """Why it has ended."""
        self._wait_for_end()
        code = self.process.returncode
        self.stop()
        if code is None or code >= 0:
            return "its decoder crashed"
        name = signal.Signals(-code).name
        return self._slow(COMPUTING) if name == "SIGXCPU" else f"its decoder crashed: {name}"


class Helpers:
    """The helpers of this process.

    Attributes:
        free: Helpers that wait for a file.
    """

    def __init__(self) -> None:
        self._all: set[Helper] = set()
        self.forget()

    def forget(self) -> None:
        """Begin without helpers, as a forked process has to: they answer to its parent, and live as
        long as anything leads to them."""
        for helper in self._all:
            helper.close()
        self._all = set()
        self._lock = threading.RLock()
        self._can_start = True
        self.free: list[Helper] = []

    def start(self, count: int) -> None:
        """Start some for files that will come, where none are there; at once where that is safe."""
        with suppress(OSError), self._lock:
            is_forked = can_fork()
            for _ in range(count if self._can_start and not self.free else 0):
                self.free.append(self._new(is_forked))

    def take(self, name: str, function: Function, arguments: tuple[Any, ...]) -> Helper | None:
        """A helper that has been asked for a file; None where this process is to decode it."""
        while self._can_start:
            with self._lock:
                helper = self.free.pop() if self.free else None
            is_new = helper is None
            try:
                taken = helper or self._new()
                taken.ask(name, function, arguments)
                return taken
            except OSError:
                self._can_start = not is_new  # a new one should have gone well
        return None

    def give_back(self, helper: Helper) -> None:
        """Take a helper back when its file is decoded, or no more of it is wanted."""
        if helper.is_free:
            self.free.append(helper)
        else:
            helper.stop()

    def stop(self) -> None:
        """End all of them."""
        for helper in list(self._all):
            helper.process.kill()

    def _new(self, is_forked: bool = False) -> Helper:
        helper = Helper(is_forked)
        with self._lock:
            running = {other for other in self._all if other.process.returncode is None}
            self._all = {*running, helper}
        return helper


HELPERS = Helpers()
atexit.register(HELPERS.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=HELPERS.forget)


def _started() -> Any:
    """The process of a helper.

    Raises:
        OSError: It cannot be started.
    """
    import subprocess

    if getattr(sys, "frozen", False):
        raise OSError("the program that runs is not Python alone")
    return subprocess.Popen(
        [sys.executable, "-P", "-S", "-c", PROGRAM],  # -S: the path is complete
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | ONE_THREAD,
    )


class _Pipe:
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
                raise _GoneError
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
                raise _GoneError from error

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def _wait(self, patience: float) -> None:
        """Wait until something can be done. Time in which this process is stopped does not count.

        Raises:
            _SlowError: For `patience` seconds nothing could.
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
                raise _SlowError


def _widen(pipe: Any) -> None:
    """Let a pipe hold as much as it may, where the system can be asked to."""
    if sys.platform == "linux":
        fcntl = import_module("fcntl")
        with suppress(OSError):  # a user's pipes may hold so much in all
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _report(name: str, outcome: dict[str, Any]) -> None:
    """Raise what ended a file's decoding, if it was an error."""
    if "trace" in outcome:
        logger.debug("a bug that %s shows:\n%s", name, outcome["trace"])
    if "reason" in outcome:
        raise AudioError(outcome["reason"])
