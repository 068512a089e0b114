"""Events: which sound is heard from when to when, from the scores of overlapping windows.

A class has an event while its score stays at or above a lower threshold, if it reaches a higher one
meanwhile. Two thresholds keep one sound from becoming many (hysteresis, as in Canny, "A
computational approach to edge detection", 1986).

A sound is in a window from the moment that the window's end passes the sound's beginning, until the
window's start passes its end. So an event begins at the end of its first window, and ends at the
start of its last one, less the part of a sound that a model must hear to know it (`HEARD_AFTER`).
Where the score passes the lower threshold between two windows, a straight line says when. For all
this, the windows overlap, and begin before the recording and end after it, with silence outside.
"""

from dataclasses import dataclass, replace

import numpy as np

from audiotag.label_set import Labels
from audiotag.tagging.event_options import EventOptions
from audiotag.tagging.results import Event

WINDOW, HOP = 2.0, 0.5  # seconds
HEARD_AFTER = 0.3  # seconds, measured on scenes with known times: recipes/events
LEAST = 0.1  # seconds of an event whose sound is too short to be measured
LITTLE = 1e-6  # seconds, less than a sample


@dataclass
class _Open:
    """An event that is going on, or one that a later event may yet be joined to."""

    start: float
    end: float
    peak_time: float
    begun: float = 0.0  # seconds of the recording in the fullest window above the higher threshold
    heard: float = 0.0  # seconds of the recording in the windows that count: the fullest
    score: float = 0.0
    total: float = 0.0
    count: int = 0
    is_told: bool = False

    def add(self, score: float, time: float, heard: float, begins: bool) -> None:
        self.begun = max(self.begun, heard if begins else 0.0)
        self.join(_Open(self.start, self.end, time, 0.0, heard, score, score, 1))

    def join(self, later: "_Open") -> None:
        self.begun, self.end = max(self.begun, later.begun), max(self.end, later.end)
        self.is_told |= later.is_told
        if later.heard < self.heard - LITTLE:
            return
        if later.heard > self.heard + LITTLE:
            self.heard, self.score, self.total, self.count = later.heard, 0.0, 0.0, 0
        if later.score > self.score:
            self.score, self.peak_time = later.score, later.peak_time
        self.total += later.total
        self.count += later.count


class EventFinder:
    """Finds the events of one recording, window by window; holds no more than those that are open.

    Of a recording that has an end, `events` gives all events there. Of sound that goes on, `begun`
    and `ended` give, after each window, what is new.

    Args:
        labels: The classes.
        begin: Score of each class at which an event begins, (classes,).
        options: What counts as one event.
        window: Length of a window, in seconds.
        hop: From the start of one to the next, in seconds; the first starts at `hop - window`.
        at_once: Classes that can begin in one window, those with the highest scores; 0 for all.
        among: The classes that are looked for, (N,); all if None.
    """

    def __init__(
        self,
        labels: Labels,
        begin: np.ndarray,
        options: EventOptions,
        window: float,
        hop: float,
        at_once: int = 0,
        among: np.ndarray | None = None,
    ) -> None:
        self._labels, self._options, self._at_once = labels, options, at_once
        self._window, self._hop = window, hop
        wanted = np.ones(len(labels), bool) if among is None else np.isin(range(len(labels)), among)
        # A threshold of 0 is passed by any score above it.
        self._begin = np.where(wanted, np.maximum(begin, np.finfo(np.float32).tiny), np.inf)
        self._go_on = self._begin * options.go_on
        self._before = np.zeros(len(labels))  # scores of the last window
        self._start = hop - window  # of the next window
        self._open: dict[int, _Open] = {}
        self._closed: dict[int, _Open] = {}
        self._longest = 0.0  # seconds of the recording in a window
        self._found: list[tuple[float, Event]] = []  # with `begun`

    def add(self, scores: np.ndarray, start: float, end: float) -> None:
        """Take the scores (classes,) of the next window, in which the recording is from `start` to
        `end`, in seconds.

        A window that goes over an end of the recording holds a sound that is cut short, which may
        sound like another: it can make an event longer, but no event begins or peaks there.
        """
        heard, middle = end - start, (start + end) / 2
        self._longest = max(self._longest, heard)
        begins = scores >= self._begin
        if self._at_once and begins.sum() > self._at_once:
            begins &= scores >= np.partition(scores, -self._at_once)[-self._at_once]
        lasting = scores >= self._go_on
        for i in self._open.keys() - np.flatnonzero(lasting).tolist():
            self._close(i, scores)
        for i in np.flatnonzero(lasting).tolist():
            if i not in self._open:
                crossed = self._start - self._hop * self._share(i, scores[i], self._before[i])
                start = crossed + self._window - HEARD_AFTER
                self._open[i] = _Open(start, start, start)
            self._open[i].add(float(scores[i]), middle, heard, bool(begins[i]))
        self._before = scores
        self._start += self._hop

    def begun(self) -> list[Event]:
        """The events that the last window has shown to have begun, each once; its end is that of
        the window. One that may yet be joined to an event before it is not told again."""
        now = self._start - self._hop + self._window
        told = []
        for i, event in self._open.items():
            if event.is_told or event.begun < self._window - LITTLE:
                continue
            event.is_told = True
            before = self._closed.get(i)
            if before is None or event.start - before.end > self._options.bridged:
                told.append(self._event(i, replace(event, end=max(now, event.start))))
        return told

    def ended(self) -> list[Event]:
        """The events that were told by `begun` and have ended for good, each once."""
        for i in list(self._closed):
            following = self._open.get(i)
            # The next window is the first that could still hold another beginning.
            start = self._start - self._hop + self._window - HEARD_AFTER
            if following is not None:
                start = following.start
            if start - self._closed[i].end > self._options.bridged:
                self._finish(i)
        found, self._found = self._found, []
        return [event for begun, event in found if begun >= self._window - LITTLE]

    def events(self, duration: float) -> tuple[Event, ...]:
        """All events of a recording of so many seconds, in the order of their starts."""
        for i in list(self._open):
            self._close(i, np.zeros(len(self._labels)))
        for i in list(self._closed):
            self._finish(i)
        begun = (x for heard, x in self._found if heard >= self._longest - LITTLE)
        inside = [event.within(duration) for event in begun]
        long_enough = [x for x in inside if x.end - x.start >= self._options.shortest]
        return tuple(sorted(long_enough, key=lambda x: (x.start, -x.score)))

    def _share(self, i: int, inside: float, outside: float) -> float:
        """Which part of a hop lies between a window that is part of an event and the moment at
        which the score passed the lower threshold."""
        return float((inside - self._go_on[i]) / (inside - outside))

    def _close(self, i: int, scores: np.ndarray) -> None:
        """End a class's event before a window whose scores are lower."""
        event = self._open.pop(i)
        if not event.begun:
            return
        last = self._start - self._hop
        end = last + self._hop * self._share(i, self._before[i], scores[i]) + HEARD_AFTER
        if end < event.start + LEAST:  # a sound shorter than what the model must hear of it
            middle = (event.start + end) / 2
            event.start, end = middle - LEAST / 2, middle + LEAST / 2
        event.end = end
        before = self._closed.get(i)
        if before is not None and event.start - before.end <= self._options.bridged:
            before.join(event)
            return
        if before is not None:
            self._finish(i)
        self._closed[i] = event

    def _finish(self, i: int) -> None:
        event = self._closed.pop(i)
        self._found.append((event.begun, self._event(i, event)))

    def _event(self, i: int, event: _Open) -> Event:
        label, times = self._labels[i], (event.start, event.end)
        mean = event.total / event.count
        return Event(label.name, label.mid, *times, event.score, event.peak_time, mean)
