"""A helper: a process that decodes files for another process, which can kill it at any time.

Decoders are C libraries. A damaged file can make them run forever, allocate all memory, or crash.
In a helper, only that file is lost. `helpers` starts helpers and sends them requests; the messages:

    requests --sys.path; Request; Request; number of a request no longer wanted; ..., pickled-->
    answers  <--BEGUN; SIZE; WARNING, text; BLOCK, samples; ...; END, how it ended as JSON--

A helper ends at the end of its standard input, and so with the process that started it.
"""

import json
import math
import os
import pickle
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

from audiotag.errors import AudioError
from audiotag.runtime.allocator import keep_freed_memory

IDLE = 60.0  # s without a request after which a helper ends
SLOWEST = 5e6  # bytes/s of a file; a slower decoder makes no progress
FRAME = struct.Struct("<cq")  # kind; bytes that follow, or, for SIZE, bytes of the file
BEGUN, SIZE, WARNING, BLOCK, END = b"b", b"s", b"w", b"a", b"e"
Warn = Callable[[str], None]
Blocks = Generator[Any, None, int | None]  # and, where it is known, the recording's rate in Hz
Function = Callable[..., Blocks]  # of a source, more arguments and a `Warn`


class UnforeseenError(AudioError):
    """A decoder raised what no file should make it raise; the cause is a bug."""


@dataclass(frozen=True)
class Request:
    """A file to decode.

    Attributes:
        number: Its number among the helper's requests; above 0.
        name: Name of the file in messages.
        function: Returns blocks, (T,) float32, for `arguments` and a function for warnings.
        arguments: The first is the file: its path or its bytes; or, as a text, the address of
            something that has no end.
        patience: Seconds of computing without a block after which the helper is killed, plus one
            for each `SLOWEST` bytes of the file.
        memory: Bytes that decoding may take.
    """

    number: int
    name: str
    function: Function
    arguments: tuple[Any, ...]
    patience: float
    memory: int


def contained(name: str, function: Function, arguments: tuple[Any, ...], warn: Warn) -> Blocks:
    """The blocks of a file. Any error in its decoder, also an unforeseen one, is the file's error.

    Raises:
        AudioError: It cannot be decoded; names file and reason.
    """
    try:
        return (yield from function(*arguments, warn))
    except AudioError:
        raise
    except MemoryError as error:
        raise AudioError(f"{name}: cannot be decoded (it takes too much memory)") from error
    except Exception as error:
        kind, text = type(error).__name__, " ".join(str(error).split())
        raise UnforeseenError(
            f"{name}: cannot be decoded ({kind}{': ' if text else ''}{text})"
        ) from error


def serve(asked: IO[bytes], modules: list[str]) -> None:
    """Serve as a helper until standard input ends, or no request comes for `IDLE` seconds.

    Args:
        asked: Standard input.
        modules: Modules to import before the first request needs them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the other process
    answers = _answers()
    requests = _Requests(asked)
    requests.start()
    keep_freed_memory()
    for name in modules:
        import_module(name)
    limits = _Limits()
    while (request := requests.next()) is not None:
        _send(answers, BEGUN)
        outcome = _answer(request, requests, limits, answers)
        limits.set_memory(None)
        content = json.dumps(outcome).encode()
        _send(answers, END, len(content), content)
        if outcome.get("is_last"):
            break
    os._exit(0)  # the other thread is still reading


def _answer(
    request: Request, requests: "_Requests", limits: "_Limits", answers: IO[bytes]
) -> dict[str, Any]:
    """Send a file's blocks; returns how it ended, in the form of the JSON answer."""
    try:
        return {"rate": _send_blocks(request, requests, limits, answers)}
    except UnforeseenError as error:
        return {"reason": str(error), "trace": traceback.format_exc()}
    except AudioError as error:
        # Memory that was allocated in small pieces would count for the next file: end the helper.
        return {"reason": str(error), "is_last": isinstance(error.__cause__, MemoryError)}


def _send_blocks(
    request: Request, requests: "_Requests", limits: "_Limits", answers: IO[bytes]
) -> int | None:
    """Send a file's blocks; returns the recording's rate."""
    source = request.arguments[0]
    size = len(source) if isinstance(source, bytes) else _size(source)
    _send(answers, SIZE, size)
    limits.set_memory(request.memory + (size if isinstance(source, bytes) else 0))
    patience = request.patience + size / SLOWEST
    limits.set_time(patience)

    def warn(text: str) -> None:
        content = text.encode("utf-8", "surrogatepass")
        _send(answers, WARNING, len(content), content)

    decoding = Ending(contained(request.name, request.function, request.arguments, warn))
    for block in decoding:
        if len(block):
            limits.set_time(patience)
            _send(answers, BLOCK, block.nbytes, memoryview(block).cast("B"))
        if requests.unwanted == request.number:
            break
    return decoding.result


class Ending:
    """The values of an iterable, and the value that it returns at its end.

    Attributes:
        result: The return value of a generator that has ended; else None.
    """

    def __init__(self, values: Any) -> None:
        self._values = values
        self.result: Any = None

    def __iter__(self) -> Iterator[Any]:
        self.result = yield from self._values


def _size(path: Path | str) -> int:
    """Bytes of a file; 0 if there is none, as opening it will raise the error."""
    try:
        return path.stat().st_size if isinstance(path, Path) else 0
    except OSError:
        return 0


def _answers() -> IO[bytes]:
    """A copy of standard output; what libraries print goes elsewhere from now on."""
    answers = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    return answers


def _send(
    answers: IO[bytes], kind: bytes, size: int = 0, content: bytes | memoryview = b""
) -> None:
    answers.write(FRAME.pack(kind, size))
    answers.write(content)
    answers.flush()


class _Requests(threading.Thread):
    """Reads requests in a thread, so that the end of standard input ends the process at once.

    Attributes:
        unwanted: Number of the request that was last given up.
    """

    def __init__(self, asked: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.unwanted = 0
        self._asked = asked
        self._waiting: SimpleQueue[Request] = SimpleQueue()

    def run(self) -> None:
        """Read until the end of standard input, and then end the process."""
        try:
            while True:
                message = pickle.load(self._asked)
                if isinstance(message, Request):
                    self._waiting.put(message)
                else:
                    self.unwanted = message
        finally:
            os._exit(0)

    def next(self) -> Request | None:
        """The next request; None if none comes for `IDLE` seconds."""
        try:
            return self._waiting.get(timeout=IDLE)
        except Empty:
            return None


class _Limits:
    """Limits on memory and time of this process, which the system enforces, if it can."""

    def __init__(self) -> None:
        self._resource: Any = None
        if sys.platform != "win32":
            self._resource = import_module("resource")
        self._at_first = 0  # bytes of memory in use, if the system can limit it
        if sys.platform == "linux":
            with open("/proc/self/statm") as file:
                self._at_first = int(file.read().split()[5]) * self._resource.getpagesize()
        self._set("RLIMIT_CORE", 0)

    def set_memory(self, size: int | None) -> None:
        """Limit memory to `size` bytes more than at first; None removes the limit."""
        if self._at_first:
            self._set("RLIMIT_DATA", None if size is None else self._at_first + size)

    def set_time(self, seconds: float) -> None:
        """Limit computing time to `seconds` from now."""
        self._set("RLIMIT_CPU", math.ceil(time.process_time() + seconds))

    def _set(self, name: str, value: int | None) -> None:
        if self._resource is None:
            return
        kind = getattr(self._resource, name)
        _, hard = self._resource.getrlimit(kind)
        if value is None or (value > hard != self._resource.RLIM_INFINITY):
            value = hard
        self._resource.setrlimit(kind, (value, hard))
