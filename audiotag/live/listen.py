"""Sources to events: each source is heard in a thread of its own, and all share one model.

    source -> thread: blocks -> windows -> queue -> model -> EventFinder -> events

A source that breaks off is asked for again, after longer and longer waits. What it says after that
is a new session, with a new clock and no open events.
"""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from audiotag.audio.helper_pipe import StoppedError, until
from audiotag.audio.windows import Window, surrounded_windows
from audiotag.errors import AudioError
from audiotag.label_set import Labels
from audiotag.live.clock import SourceClock
from audiotag.live.news import BEGIN, CONNECTED, END, ENDED, GAP, LOST, LiveEvent, Notice
from audiotag.live.sources import Source
from audiotag.live.tape import Tape
from audiotag.models.engine import Engine
from audiotag.tagging.events import EventFinder
from audiotag.tagging.results import Event
from audiotag.tagging.tag import TagOptions, event_finder, window_lengths

WAIT, LONGEST_WAIT = 1.0, 60.0  # s before a source is asked for again; doubled each time
STEADY = 60.0  # s of sound after which the next wait is short again
WAITING = 120  # windows of all sources; beyond them the computer is too slow
TICK = 0.2  # s between looks at whether to stop
BATCH = 16  # windows computed at once
TOO_SLOW = "this computer takes longer than the sound lasts; sound was left out"


@dataclass
class Session:
    """A source from when it was opened until it broke off.

    Attributes:
        source: The source.
        finder: Finds its events.
        clock: When its sounds were.
        tape: Its last seconds; None if they are not kept.
        begun: When each event that goes on began, by label.
        places: At which second of the sound the last event of each label began.
    """

    source: Source
    finder: EventFinder
    clock: SourceClock
    tape: Tape | None
    begun: dict[str, datetime] = field(default_factory=dict)
    places: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """An event, and the session that it is of."""

    session: Session
    event: LiveEvent


@dataclass(frozen=True)
class Over:
    """The end of a session."""

    session: Session


@dataclass(frozen=True)
class Heard:
    """A window that was computed.

    Attributes:
        session: Where it is from.
        end: Second of the sound at which the window ends.
        newest: The samples of the window that were not in the one before (T,).
        scores: Of all classes (C,).
        labels: The classes.
    """

    session: Session
    end: float
    newest: np.ndarray
    scores: np.ndarray
    labels: Labels


News = Told | Over | Notice | Heard
_Item = tuple[Session, Window | None] | Notice  # None at a session's end


class Listener:
    """Listens to sources at once.

    Args:
        engine: The model.
        sources: What to listen to.
        options: How events are found, with `events`.
        begin: Score at which an event begins, of each class (C,); those of the options if None.
        kept: Seconds of sound of each source that are kept for recordings.
        stopping: Set from elsewhere, ends the listening and the events that go on.
    """

    def __init__(
        self,
        engine: Engine,
        sources: Sequence[Source],
        options: TagOptions,
        begin: np.ndarray | None = None,
        kept: float = 0.0,
        stopping: threading.Event | None = None,
    ) -> None:
        self._stopping = stopping or threading.Event()
        self._sessions: dict[int, Session] = {}  # that go on, by their identity
        self._engine, self._sources, self._options = engine, sources, options
        self._begin, self._kept = begin, kept
        self._among = np.array(engine.labels.within(options.label)) if options.label else None
        self._queue: queue.Queue[_Item] = queue.Queue(WAITING)
        self._stopped = threading.Event()
        self._newest = round(window_lengths(engine, options)[1] * engine.sample_rate)

    def news(self) -> Generator[News, None, None]:
        """What happens, as it happens, until all sources have ended."""
        threads = [
            threading.Thread(target=self._listen, args=(source,), daemon=True)
            for source in self._sources
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads) or not self._queue.empty():
                if self._stopping.is_set():
                    break
                yield from self._next()
            for session in list(self._sessions.values()):
                yield from self._end(session)
        finally:
            self._stopped.set()

    def _next(self) -> Iterator[News]:
        items = self._waiting()
        windows = [item for item in items if isinstance(item, tuple) and item[1] is not None]
        scores = iter(self._scores([window for _, window in windows if window is not None]))
        for item in items:
            if isinstance(item, Notice):
                yield item
                continue
            session, window = item
            if window is None:
                yield from self._end(session)
                continue
            computed = next(scores)
            self._sessions[id(session)] = session
            session.finder.add(computed, window.start, window.end)
            newest = window.samples[-self._newest :]
            yield Heard(session, window.end, newest, computed, self._engine.labels)
            for event in session.finder.begun():
                yield Told(session, self._begun(session, event))
            for event in session.finder.ended():
                yield Told(session, self._ended(session, event))

    def _waiting(self) -> list[_Item]:
        """What waits, at most for a batch; nothing if nothing comes for a while."""
        items: list[_Item] = []
        try:
            items.append(self._queue.get(timeout=TICK))
            while len(items) < BATCH:
                items.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return items

    def _scores(self, windows: list[Window]) -> list[np.ndarray]:
        """Scores (C,) of each window; all have one length."""
        if not windows:
            return []
        return list(self._engine.score_windows(np.stack([window.samples for window in windows])))

    def _begun(self, session: Session, event: Event) -> LiveEvent:
        session.begun[event.label] = session.clock.time(event.start)
        session.places[event.label] = event.start
        return self._told(BEGIN, session, event, session.begun[event.label])

    def _ended(self, session: Session, event: Event) -> LiveEvent:
        begun = session.begun.pop(event.label, None) or session.clock.time(event.start)
        return self._told(END, session, event, begun)

    def _told(self, kind: str, session: Session, event: Event, start: datetime) -> LiveEvent:
        duration = max(0.0, event.end - event.start)
        end = start + timedelta(seconds=duration) if kind == END else None
        return LiveEvent(
            kind,
            session.source.name,
            event.label,
            event.mid,
            start,
            end,
            duration,
            event.score,
            event.mean,
        )

    def _end(self, session: Session) -> Iterator[News]:
        self._sessions.pop(id(session), None)
        for event in session.finder.events(np.inf):
            if event.label not in session.begun:  # the sound as a whole is shorter than a window
                yield Told(session, self._begun(session, event))
            yield Told(session, self._ended(session, event))
        yield Over(session)

    def _listen(self, source: Source) -> None:
        """Hear a source until it ends, in a thread of its own."""
        wait = WAIT
        with until(self._stopped):
            while not self._stopped.is_set():
                opened, reason = time.monotonic(), "it has ended"
                try:
                    self._hear(source)
                    if not source.is_live:
                        return self._put(self._notice(ENDED, source))
                except AudioError as error:
                    reason = str(error).removeprefix(f"{source.name}: ")
                except StoppedError:
                    return
                if not source.is_live:
                    return self._put(self._notice(LOST, source, reason))
                wait = WAIT if time.monotonic() - opened > STEADY else wait
                text = f"{reason}; trying again in {wait:.0f} s"
                self._put(self._notice(LOST, source, text))
                self._stopped.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT)

    def _hear(self, source: Source) -> None:
        """Put the windows of a session into the queue; errors as `Source.blocks`."""
        engine, lengths = self._engine, window_lengths(self._engine, self._options)
        session = Session(
            source,
            event_finder(engine, self._options, self._among, self._begin),
            SourceClock(source.is_live),
            Tape(engine.sample_rate, self._kept) if self._kept else None,
        )

        def warn(text: str) -> None:
            self._put(self._notice(GAP, source, text))

        blocks = self._noted(source.blocks(engine.sample_rate, warn), session)
        windows = surrounded_windows(blocks, engine.sample_rate, *lengths, engine.min_duration)
        try:
            for window in windows:
                self._put_window(session, window)
        finally:
            self._put((session, None))

    def _noted(self, blocks: Iterator[np.ndarray], session: Session) -> Iterator[np.ndarray]:
        """The blocks; the session's clock and tape take note of each."""
        rate, count = self._engine.sample_rate, 0
        for block in blocks:
            if count == 0:
                self._put(self._notice(CONNECTED, session.source))
            count += len(block)
            silent = session.clock.arrived(count / rate)
            if silent:
                self._put(self._notice(GAP, session.source, f"no sound for {silent:.0f} s"))
            if session.tape is not None:
                session.tape.write(block)
            yield block

    def _put_window(self, session: Session, window: Window) -> None:
        if session.source.is_live and self._queue.full():
            raise AudioError(TOO_SLOW)
        self._put((session, window))

    def _put(self, item: _Item) -> None:
        """Put something into the queue, when there is room."""
        while not self._stopped.is_set():
            try:
                return self._queue.put(item, timeout=TICK)
            except queue.Full:
                continue

    def _notice(self, kind: str, source: Source, text: str = "") -> Notice:
        return Notice(kind, source.name, datetime.now().astimezone(), text)


def listen(
    engine: Engine,
    sources: Sequence[Source],
    options: TagOptions,
    on_notice: Callable[[Notice], None] | None = None,
) -> Iterator[LiveEvent]:
    """The events of sources, as they begin and end; see `audiotag.listen`."""
    for news in Listener(engine, sources, options).news():
        if isinstance(news, Told):
            yield news.event
        elif isinstance(news, Notice) and on_notice is not None:
            on_notice(news)
