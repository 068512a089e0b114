"""The last minute of live sound, moving, on a terminal."""

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from audiotag.label_set import Labels
from audiotag.live.listen import Heard
from audiotag.live.news import BEGIN, CONNECTED, LiveEvent, Notice
from audiotag.live.watch import level
from audiotag.runtime.escapes import visible

SPAN, COLUMNS = 60.0, 60  # s that are shown, and columns for them
ROWS, SAID = 6, 8  # labels of a source, and last events and notices
BARS = " ▁▂▃▄▅▆▇█"
QUIETEST, LOUDEST = -70.0, -10.0  # dB of full scale: no bar, a full bar
PER_SECOND = 4  # pictures; more would take more time than the model does


@dataclass
class _Shown:
    """What is shown of a source: times and values of the last minute."""

    state: str = "connecting"
    levels: deque[tuple[float, float]] = field(default_factory=deque)
    scores: deque[tuple[float, np.ndarray]] = field(default_factory=deque)
    labels: Labels | None = None


class LiveTable:
    """Levels and tags of the last minute of each source, and the last events below.

    Args:
        names: The sources.
    """

    def __init__(self, names: list[str]) -> None:
        self._shown = {name: _Shown() for name in names}
        self._said: deque[Text] = deque(maxlen=SAID)
        self._live = Live(console=Console(), auto_refresh=False, transient=False)
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.update(self._picture(), refresh=True)
        self._live.stop()

    def note(self, item: Any) -> None:
        """Show an event, a notice, or the levels and tags of a window."""
        if isinstance(item, Heard):
            self._hear(item)
        else:
            self._say(item)
        now = time.monotonic()
        if now >= self._drawn + 1 / PER_SECOND:
            self._drawn = now
            self._live.update(self._picture(), refresh=True)

    def _hear(self, heard: Heard) -> None:
        shown = self._shown[heard.session.source.name]
        now = time.monotonic()
        shown.state, shown.labels = "", heard.labels
        shown.levels.append((now, level(heard.newest)))
        shown.scores.append((now, heard.scores))
        for values in (shown.levels, shown.scores):
            while values[0][0] < now - SPAN:
                values.popleft()

    def _say(self, item: LiveEvent | Notice) -> None:
        if isinstance(item, Notice):
            self._shown[item.source].state = "" if item.kind == CONNECTED else item.kind
            text = f"{item.kind} {item.text}".strip()
            self._said.append(_line(item.time, text, item.source, "dim"))
        elif item.kind == BEGIN:
            text = f"{item.label} begins ({item.score:.2f})"
            self._said.append(_line(item.start, text, item.source, "bold"))
        else:
            text = f"{item.label} ends after {item.duration:.1f} s ({item.score:.2f})"
            self._said.append(_line(item.end or item.start, text, item.source, ""))

    def _picture(self) -> Group:
        now = time.monotonic()
        grid = Table.grid(padding=(0, 1))
        grid.add_column(max_width=28, no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(no_wrap=True)
        for name, shown in self._shown.items():
            current = f"{shown.levels[-1][1]:.0f} dB" if shown.levels else ""
            strip = _strip(shown.levels, now, QUIETEST, LOUDEST)
            grid.add_row(Text(visible(name), "bold"), shown.state or current, Text(strip, "green"))
            for label, scores in _best(shown):
                strip = _strip(scores, now, 0.0, 1.0)
                grid.add_row(Text(f"  {visible(label)}"), f"{scores[-1][1]:.2f}", strip)
        scale = f"{-SPAN:.0f} s".ljust(COLUMNS - 3) + "now"
        grid.add_row("", "", Text(scale, "dim"))
        return Group(grid, *self._said)


def _best(shown: _Shown) -> list[tuple[str, list[tuple[float, float]]]]:
    """The labels that were highest in the last minute, each with its scores."""
    if not shown.scores or shown.labels is None:
        return []
    highest = np.max([scores for _, scores in shown.scores], axis=0)
    order = np.argsort(-highest, kind="stable")[:ROWS].tolist()
    return [
        (shown.labels[i].name, [(when, float(scores[i])) for when, scores in shown.scores])
        for i in order
    ]


def _strip(values: Any, now: float, low: float, high: float) -> str:
    """The highest value of each second as a bar."""
    bars = [low] * COLUMNS
    for when, value in values:
        column = COLUMNS - 1 - int((now - when) * COLUMNS / SPAN)
        if 0 <= column < COLUMNS:
            bars[column] = max(bars[column], value)
    steps = (np.clip((np.array(bars) - low) / (high - low), 0, 1) * (len(BARS) - 1)).round()
    return "".join(BARS[int(step)] for step in steps)


def _line(when: datetime, text: str, source: str, style: str) -> Text:
    return Text(f"{when:%H:%M:%S}  {visible(text)}  {visible(source)}", style)
