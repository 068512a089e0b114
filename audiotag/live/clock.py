"""From a place in a source's sound to the time of day at which it sounded.

Sound arrives a little after it sounded, sometimes in bursts, and the source's clock may run faster
or slower than this computer's by some seconds a day. So the time at which a source began is taken
as the earliest that its arrivals of the last minute allow, and follows both clocks.
"""

import time
from collections import deque
from datetime import datetime, timedelta

BUCKET, BUCKETS = 5.0, 12  # s, and how many of them are remembered
LATE = 5.0  # s without sound after which what follows is taken to sound now
AHEAD = 2.0  # s; a pipe that is so far ahead is not live but read at its own speed


class SourceClock:
    """The clock of a source since it was opened.

    Args:
        is_live: Whether its sound cannot arrive before it sounds. That of a pipe can; it is then
            told as if it were played from now on.
    """

    def __init__(self, is_live: bool) -> None:
        self._is_live = is_live
        self._first: float | None = None  # beginning by the first arrival, on the monotonic clock
        self._is_played = False
        self._earliest: deque[tuple[float, float]] = deque(maxlen=BUCKETS)  # bucket, beginning

    def arrived(self, position: float, now: float | None = None) -> float:
        """Take note that the sound up to `position`, in seconds, has arrived now, on the monotonic
        clock; returns the seconds without sound before it, if they are many, else 0."""
        now = time.monotonic() if now is None else now
        began = now - position
        if self._first is None:
            self._first = began
        if not self._is_live and began < self._first - AHEAD:
            self._is_played = True
        if self._is_played:
            return 0.0
        silent = began - self._began() if self._earliest else 0.0
        if silent > LATE:
            self._earliest.clear()
        bucket = now // BUCKET
        if self._earliest and self._earliest[-1][0] == bucket:
            began = min(began, self._earliest.pop()[1])
        self._earliest.append((bucket, began))
        return silent if silent > LATE else 0.0

    def time(self, position: float) -> datetime:
        """The local time at which a place in the sound, in seconds, sounded."""
        began = time.monotonic() if self._first is None else self._first
        if not self._is_played and self._earliest:
            began = self._began()
        ago = time.monotonic() - (began + position)
        return datetime.now().astimezone() - timedelta(seconds=ago)

    def _began(self) -> float:
        return min(began for _, began in self._earliest)
