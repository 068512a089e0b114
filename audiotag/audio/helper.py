"""A helper, as the process that asks it sees it."""

import json
import logging
import os
import pickle
import signal
import sys
import time
from pathlib import Path
from typing import Any

from audiotag.audio.forked import fork
from audiotag.audio.helper_pipe import TICK, GoneError, Pipe, SlowError, StoppedError, widen
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
    Warn,
)
from audiotag.errors import AudioError

logger = logging.getLogger(__name__)
# Seconds that a helper may take for a block, and compute for it; more of both for a large file.
PATIENCE, COMPUTING = 20.0, 10.0
START_PATIENCE = 60.0  # s that it may take to start
MEMORY = 2**30  # bytes that decoding a file may take
# Sound of a file at most: 9 hours at 32 kHz, and 1/8 s for each byte. Headers can promise more.
MOST_SAMPLES, SAMPLES_OF_BYTE = 2**30, 2**12
GONE = 1.0  # s that a process may take to end; one that waits for a broken disk cannot
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
        self._to, self._from = Pipe(self.process.stdin), Pipe(self.process.stdout)
        widen(self.process.stdout)
        self._request: Request | None = None  # being answered
        self._count = 0  # of requests
        self._size = 0  # of the file, in bytes
        self._is_endless = False
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
        self._is_endless = isinstance(arguments[0], str)
        self._request = Request(self._count, name, function, arguments, COMPUTING, MEMORY)
        self._send(self._request, has_answer=True)

    def blocks(self, warn: Warn) -> Blocks:
        """The blocks that it was asked for; errors as `in_helper`."""
        assert self._request is not None
        name = self._request.name
        try:
            return (yield from self._blocks(name, warn))
        except SlowError as error:
            self.stop()
            raise AudioError(f"{name}: cannot be decoded ({self._slow(PATIENCE)})") from error
        except GoneError as error:
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
        except (GoneError, SlowError, StoppedError):
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
        except (GoneError, SlowError) as error:
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
                samples += 0 if self._is_endless else len(block)
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


def _report(name: str, outcome: dict[str, Any]) -> None:
    """Raise what ended a file's decoding, if it was an error."""
    if "trace" in outcome:
        logger.debug("a bug that %s shows:\n%s", name, outcome["trace"])
    if "reason" in outcome:
        raise AudioError(outcome["reason"])
