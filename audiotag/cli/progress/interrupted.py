"""How a stopped command ends: after Ctrl-C, after SIGTERM (as from a scheduler), or after SIGHUP
(when its terminal is closed)."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from audiotag.cli.say import say

REQUESTS = ("SIGINT", "SIGTERM", "SIGHUP")  # names: Windows lacks the last
SIGNALLED = 128  # by convention, plus the signal's number: the exit code
GO_ON = "the same command with --resume resumes"
# What the user can do next, by command.
NEXT = {
    "train": f"{GO_ON} from the last checkpoint",
    "finetune": f"{GO_ON} from the last checkpoint",
    "prepare": "the same command resumes",
    "listen": "the same command listens again",
    "push": "the same command resumes",
    "pull": "the same command resumes",
}
ANEW = "the same command starts anew"
GRACE = 3.0  # s in which threads may end what they compute


class Stopped(KeyboardInterrupt):
    """A request to end; whatever handles Ctrl-C handles it too.

    Attributes:
        signal: Its number.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


@contextmanager
def requests_raised() -> Iterator[None]:
    """A context in which SIGTERM and SIGHUP raise `Stopped`, as Ctrl-C does; signals that are
    ignored, as by nohup, stay ignored.

    Only for the main thread, which receives all signals.
    """
    usual = (signal.SIG_DFL, signal.default_int_handler)
    numbers = [getattr(signal, name) for name in REQUESTS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    taken = {number: handler for number, handler in before.items() if handler in usual}
    for number in taken:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


@contextmanager
def requests_noted(note: Callable[[], None]) -> Iterator[None]:
    """A context in which the first request to end calls a function, after which the context is to
    end by itself; that raises `Stopped`. A second request raises it at once."""
    noted: list[int] = []
    numbers = [getattr(signal, name) for name in REQUESTS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    taken = {number: handler for number, handler in before.items() if handler is _stop}

    def request(number: int, frame: FrameType | None) -> None:
        for other, handler in taken.items():
            signal.signal(other, handler)
        noted.append(number)
        note()

    for number in taken:
        signal.signal(number, request)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
    if noted:
        raise Stopped(noted[0])


@contextmanager
def interruptible(describe: Callable[[], str]) -> Iterator[None]:
    """If the command is stopped, end it with one line on standard error, from `describe`.

    The exit code is 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        number = stop.signal if isinstance(stop, Stopped) else signal.SIGINT
        if text := describe():
            with suppress(OSError):  # the terminal may be closed
                say(text)
        _end_within(GRACE, SIGNALLED + number)
        sys.exit(SIGNALLED + number)


def _end_within(seconds: float, code: int) -> None:
    """End this process after so many seconds: its own end waits for threads, of which one may be
    in an operator of a model that takes hours."""
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()


def what_is_next(command: str | None) -> str:
    """The message of a stopped command; empty in all processes of torchrun except the first."""
    from audiotag.runtime.distributed import launched_rank

    return "" if launched_rank() else f"Stopped; {NEXT.get(command or '', ANEW)}"


def _stop(number: int, frame: FrameType | None) -> None:
    if not _is_importing(frame):
        raise Stopped(number)
    # PyTorch's C++ code aborts if an exception reaches it during its import.
    if os.environ.get("RANK", "0") == "0":
        os.write(2, b"Stopped; give the same command again\n")
    os._exit(SIGNALLED + number)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
