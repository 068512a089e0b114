"""Actions, run one after another in a thread beside the listening."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from audiotag.errors import AudioTagError

WAITING = 100  # events that may wait for an action
REPORTED = 60.0  # s in which a failure that goes on is reported once
GRACE = 5.0  # s in which events that wait are still acted on at the end


class ActionError(AudioTagError):
    """An action failed; the message is a sentence without the event."""


class Action(Protocol):
    """Something that is done about an event.

    Attributes:
        name: What messages call it.
    """

    name: str

    def run(self, record: dict[str, Any]) -> None:
        """Do it.

        Args:
            record: The event as in JSON.

        Raises:
            ActionError: It failed.
        """
        ...

    def close(self) -> None:
        """End what it has open."""
        ...


class Runner:
    """Runs an action for each event that it is given.

    Args:
        action: The action.
        report: Called with a sentence when it fails.
    """

    def __init__(self, action: Action, report: Callable[[str], None]) -> None:
        self._action, self._report = action, report
        self._reported = -REPORTED
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, record: dict[str, Any]) -> None:
        """Act on an event soon; if too many wait, it is left out, and that is reported."""
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._fail(f"is too slow: {WAITING} events wait, and further ones are left out")

    def close(self) -> None:
        """Act on what waits, but not for long, and end."""
        try:
            self._queue.put(None, timeout=GRACE)
        except queue.Full:
            return
        self._thread.join(GRACE)

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            try:
                self._action.run(record)
            except ActionError as error:
                self._fail(str(error))
        self._action.close()

    def _fail(self, text: str) -> None:
        now = time.monotonic()
        if now >= self._reported + REPORTED:
            self._reported = now
            self._report(f"{self._action.name}: {text}")
