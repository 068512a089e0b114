"""Decoding in helpers: processes of their own, so that a file can hang or crash only its helper.

Each decoding thread has its own helper, and keeps it from file to file. A helper that returns no
block for too long, or takes too much memory, is killed; the file fails with that reason. If no
process can be started, as in a frozen program, files are decoded in this process.

Helpers are also faster: PyAV releases and takes Python's lock four times for each 20 ms of sound.
Several decoding threads in one process would spend more time waiting for it than decoding.
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
    """The blocks, and the rate at the end, that `function(*arguments, warn)` returns in a helper.

    Args:
        name: Name of the file in messages.
        function: A function that the helper can import by its name.
        arguments: The first is the file: its absolute path or its bytes; or, as a text, the address
            of something that has no end.
        warn: Called with what is doubtful.

    Raises:
        AudioError: The file cannot be decoded, or its helper was killed or crashed; names the file
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
        free: Helpers without a file.
    """

    def __init__(self) -> None:
        self._all: set[Helper] = set()
        self.forget()

    def forget(self) -> None:
        """Start without helpers, as a forked process must: the existing ones belong to its parent,
        and run until all pipes to them are closed."""
        for helper in self._all:
            helper.close()
        self._all = set()
        self._lock = threading.RLock()
        self._can_start = True
        self.free: list[Helper] = []

    def start(self, count: int) -> None:
        """Start `count` helpers ahead of the first files, if there are none; by forking if that is
        safe."""
        with suppress(OSError), self._lock:
            is_forked = can_fork()
            for _ in range(count if self._can_start and not self.free else 0):
                self.free.append(self._new(is_forked))

    def take(self, name: str, function: Function, arguments: tuple[Any, ...]) -> Helper | None:
        """A helper to which a file was sent; None if this process must decode it."""
        while self._can_start:
            with self._lock:
                helper = self.free.pop() if self.free else None
            is_new = helper is None
            try:
                taken = helper or self._new()
                taken.ask(name, function, arguments)
                return taken
            except OSError:
                self._can_start = not is_new  # if a new one fails, others will too
        return None

    def give_back(self, helper: Helper) -> None:
        """Take a helper back after its file is decoded or given up."""
        if helper.is_free:
            self.free.append(helper)
        else:
            helper.stop()

    def stop(self) -> None:
        """Kill all helpers."""
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
