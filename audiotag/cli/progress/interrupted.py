"""How a command ends that Ctrl-C stops, or a signal that asks programs to end."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from audiotag.cli.say import say

BY_SIGNAL = 128  # and a signal's number: exit code of a program that it ended, by convention
ASKING = ("SIGTERM", "SIGHUP")  # to end: a scheduler, and a terminal that is closed


class Ended(KeyboardInterrupt):
    """A signal asks the program to end; all that Ctrl-C keeps is kept."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def interruptible(describe: Callable[[], str]) -> Iterator[None]:
    """On Ctrl-C, SIGTERM or SIGHUP, end with one line on standard error, by `describe`, and the
    exit code 130, 143 or 129."""
    with _asked():
        try:
            yield
        except KeyboardInterrupt as error:
            with suppress(OSError):  # the terminal may be closed
                say(describe())
            number = error.number if isinstance(error, Ended) else signal.SIGINT
            sys.exit(BY_SIGNAL + number)


@contextmanager
def _asked() -> Iterator[None]:
    """A context in which signals that ask to end raise `Ended`, except where they are ignored, as
    below `nohup`."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        known = [getattr(signal, name) for name in ASKING if hasattr(signal, name)]
        heard = [number for number in known if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, _raise) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Ended(number)
