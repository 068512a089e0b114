"""Decoding in helpers: processes that a file can hang, crash or fill, and no more than them.

A thread that decodes has a helper of its own, which it keeps from file to file. A helper that gives
no block for too long is ended, as one is that takes too much memory, and the file fails with that
reason. Where no process can be started, as in a program that was frozen, this one decodes.

Besides, helpers are faster: PyAV releases Python's lock and takes it back four times for each 20 ms
of sound, and threads that decode at once would wait for it longer than they decode.
"""

import atexit
import logging
import os
import threading
from contextlib import suppress
from typing import Any

from audiotag.audio.forked import can_fork
from audiotag.audio.helper import Helper
from audiotag.audio.helper_process import Blocks, Function, UnforeseenError, Warn, contained

logger = logging.getLogger(__name__)


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
