"""Listening with all that is done about events: they are told, recorded, and acted on."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from audiotag.errors import OutputError
from audiotag.live.actions.runner import Action, Runner
from audiotag.live.limits import Limits
from audiotag.live.listen import Heard, Listener, News, Over, Told
from audiotag.live.news import BEGIN, END, LiveEvent, Notice
from audiotag.live.recorder import Recorder, RecordOptions
from audiotag.live.rules import Rule, Rules
from audiotag.live.sources import Source
from audiotag.models.engine import Engine
from audiotag.tagging.tag import TagOptions, begin_scores

WHEN = ("begin", "end", "both")


@dataclass(frozen=True)
class Doing:
    """What is done about which events.

    Attributes:
        rules: Which events; all without any.
        actions: What is done when an event begins or ends.
        when: One of `WHEN`.
        always: Actions for both beginning and end, whatever `when` says, such as a state that is
            shown elsewhere.
        limits: How often something is done.
        record: What is recorded, if anything.
    """

    rules: Sequence[Rule] = ()
    actions: Sequence[Action] = ()
    when: str = BEGIN
    always: Sequence[Action] = ()
    limits: Limits = field(default_factory=Limits)
    record: RecordOptions | None = None


def watch(
    engine: Engine,
    sources: Sequence[Source],
    options: TagOptions,
    doing: Doing,
    report: Callable[[str], None],
    stopping: threading.Event | None = None,
) -> Generator[LiveEvent | Notice | Heard, None, None]:
    """Events, notices, and the windows that were heard, as they come.

    Args:
        engine: The model.
        sources: What to listen to; of different names.
        options: How events are found, with `events`.
        doing: What is done about them.
        report: Called with a sentence when something cannot be done.
        stopping: Set from elsewhere, ends the listening and the events that go on.

    Raises:
        OutputError: The folder of recordings cannot be made.
        ValueError: The model has none of the classes of a rule.
    """
    rules = Rules(doing.rules, engine.labels)
    begin = rules.begin(begin_scores(engine, options))
    recorder = None if doing.record is None else Recorder(doing.record)
    kept = 0.0 if doing.record is None else doing.record.kept
    desk = _Desk(doing, rules, recorder, report)
    listener = Listener(engine, sources, options, begin, kept, stopping)
    try:
        with closing(listener.news()) as all_news:
            for news in all_news:
                yield from desk.note(news)
    finally:
        desk.close()


class _Desk:
    """Where news come in, and are recorded and acted on."""

    def __init__(
        self,
        doing: Doing,
        rules: Rules,
        recorder: Recorder | None,
        report: Callable[[str], None],
    ) -> None:
        self._doing, self._rules, self._recorder, self._report = doing, rules, recorder, report
        self._actions = [Runner(action, report) for action in doing.actions]
        self._always = [Runner(action, report) for action in doing.always]
        self._allowed: set[tuple[str, str]] = set()  # source and label of events that go on

    def note(self, news: News) -> Iterator[LiveEvent | Notice | Heard]:
        """Do what is to be done, and tell what there is to tell."""
        if isinstance(news, Told):
            yield news.event
            if self._is_meant(news.event):
                self._act(news)
        elif isinstance(news, Heard):
            yield news
            yield from self._recorded(lambda to: to.heard(news.session, news.end))
        elif isinstance(news, Over):
            yield from self._recorded(lambda to: to.heard(news.session))
        else:
            yield news

    def close(self) -> None:
        """End the actions."""
        for runner in (*self._actions, *self._always):
            runner.close()

    def _is_meant(self, event: LiveEvent) -> bool:
        """Whether something is to be done; the end of an event is treated as its beginning was."""
        place = (event.source, event.label)
        if event.kind == BEGIN and self._rules.mean(event.label):
            if self._doing.limits.allow(*place, event.start):
                self._allowed.add(place)
        is_meant = place in self._allowed
        if event.kind == END:
            self._allowed.discard(place)
        return is_meant

    def _act(self, news: Told) -> None:
        record = news.event.to_dict()
        now = self._doing.when in (news.event.kind, "both")
        for runner in (*(self._actions if now else ()), *self._always):
            runner.put(record)
        if self._recorder is not None:
            self._recorder.note(news.session, news.event)

    def _recorded(self, take: Callable[[Recorder], Iterator[Notice]]) -> Iterator[Notice]:
        if self._recorder is None:
            return
        try:
            yield from take(self._recorder)
        except OutputError as error:
            self._report(str(error))


def level(samples: np.ndarray) -> float:
    """Level of samples (T,) in dB of full scale, at least -100."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return 10 * float(np.log10(max(power, 1e-10)))
