"""Shared parts of all formats of results: the interface, labels, times and JSON."""

import json
from collections.abc import Iterator
from typing import Protocol

from audiotag.runtime.escapes import COMMANDS, visible
from audiotag.tagging.results import Event, FileTags, Segment, Tag


class Format(Protocol):
    """Results as text."""

    def start(self) -> str:
        """The text before the results."""

    def add(self, result: FileTags) -> str:
        """The text of one result."""

    def end(self) -> str:
        """The text after the results."""


class Plain:
    """A format with nothing before and after its results."""

    def start(self) -> str:
        """Nothing."""
        return ""

    def end(self) -> str:
        """Nothing."""
        return ""


def to_json(result: FileTags) -> str:
    """A result as a JSON object on one line.

    Text is written readably. Two kinds of characters are escaped, and restored by `json.loads`:
    those of file names that are not valid Unicode, and those that act on a terminal.
    """
    record = result.to_dict()
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    if not _is_unicode(text):
        return json.dumps(record, allow_nan=False)
    return COMMANDS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def label_text(tag: Tag) -> str:
    """A tag's label as people read it."""
    return visible(tag.label)


def in_markup(text: str) -> str:
    """JSON that ends no element of a page around it."""
    return text.replace("<", r"\u003c")


def parts(result: FileTags) -> tuple[Segment, ...]:
    """The events of a result as segments, or else its segments; the whole file as one where there
    are neither."""
    if result.events is not None:
        return tuple(
            Segment(x.start, x.end, (Tag(x.label, x.mid, x.score),)) for x in result.events
        )
    if result.segments or result.error is not None:
        return result.segments
    return (Segment(0.0, result.duration or 0.0, result.tags),)


def heard_parts(result: FileTags, guesses: bool) -> Iterator[tuple[Segment, Tag]]:
    """The tags of each of the parts, with guesses or without."""
    for part in parts(result):
        for tag in part.tags:
            if guesses or not tag.guess:
                yield part, tag


def clock(seconds: float) -> str:
    """Time as m:ss.s, or as h:mm:ss.s from one hour."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{rest / 10:04.1f}"


def event_line(event: Event) -> str:
    """An event as people read it: its times, score and label."""
    times = f"{clock(event.start)} - {clock(event.end)}"
    return f"{times}  {event.score:.3f}  {visible(event.label)}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
