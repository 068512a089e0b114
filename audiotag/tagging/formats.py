"""Formats: results of tagging as text, one class for each format.

A format turns each result into text (`add`); `start` is the text before all results, `end` the text
after them. `single` says that a stream or file holds the result of only one recording.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from audiotag.audio.sources import Listening
from audiotag.runtime.escapes import unicode_text, visible
from audiotag.tagging.chains import chains
from audiotag.tagging.csv_rows import BOM, CSV_COLUMNS, Row, csv_header, csv_line, harmless
from audiotag.tagging.provenance import Provenance
from audiotag.tagging.results import (
    NO_TAG,
    Event,
    FileTags,
    Segment,
    Tag,
    rounded_score,
    rounded_time,
)
from audiotag.tagging.text import (
    Format,
    Plain,
    clock,
    event_line,
    heard_parts,
    parts,
    to_json,
)

SHOWN = 0.5  # seconds at least that a subtitle is seen
RAVEN_COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Label",
    "Score",
    "Begin Path",
    "File Offset (s)",
)


class Jsonl(Plain):
    """One JSON object on each line: path, duration and tags, or path and error."""

    def add(self, result: FileTags) -> str:
        """One line."""
        return to_json(result) + "\n"


class Json:
    """A JSON array of such objects, or one object if there is a `single` recording."""

    def __init__(self, single: bool) -> None:
        self._single, self._empty = single, True

    def start(self) -> str:
        """The array's opening."""
        return "" if self._single else "["

    def add(self, result: FileTags) -> str:
        """One object."""
        if self._single:
            return to_json(result) + "\n"
        comma, self._empty = "" if self._empty else ",", False
        return f"{comma}\n{to_json(result)}"

    def end(self) -> str:
        """The array's closing."""
        return "" if self._single else "\n]\n"


class Csv(Plain):
    """A header; a row for each file and tag, with a timeline for each segment and tag, or a row for
    each event.

    A file without tags has one row without a label, and a file that failed one row with the error,
    so that every file is listed.

    Args:
        columns: Its columns; fewer if an output of an earlier version is resumed.
        bom: Whether the file begins with the byte order mark, by which Excel recognises UTF-8.
    """

    def __init__(self, columns: tuple[str, ...] = CSV_COLUMNS, bom: bool = False) -> None:
        self._columns, self._bom = columns, bom

    def start(self) -> str:
        """The header."""
        return (BOM if self._bom else "") + csv_header(self._columns)

    def add(self, result: FileTags) -> str:
        """The rows of one file, at least one."""
        about: Row = {"path": result.path, "warning": result.warning or ""}
        if result.error is not None:
            return csv_line({**about, "error": result.error}, self._columns)
        if result.events is None:
            rows = [
                {**about, **_span(part), **_tag_cells(tag)}
                for part in parts(result)
                for tag in part.tags
            ]
        else:
            rows = [{**about, **_event_cells(event)} for event in result.events]
        whole = Segment(0.0, result.duration or 0.0, ())
        return "".join(csv_line(row, self._columns) for row in rows or [{**about, **_span(whole)}])


class Audacity(Plain):
    """A label track: start, end, and label with score, separated by tabs (File > Import).

    Args:
        guesses: Whether it has guesses, tags below their threshold, too.
    """

    def __init__(self, guesses: bool = False) -> None:
        self._guesses = guesses

    def add(self, result: FileTags) -> str:
        """The labels of one recording; none if it failed."""
        return "".join(
            f"{part.start:.6f}\t{part.end:.6f}\t{_label(tag)} {tag.score:.2f}\n"
            for part, tag in heard_parts(result, self._guesses)
        )


class Subtitles(Plain):
    """Subtitles, SubRip's or WebVTT, for players and video editors: one for each window or event.

    Args:
        web: WebVTT.
        guesses: Whether tags below their threshold are in it.
    """

    def __init__(self, web: bool, guesses: bool = False) -> None:
        self._web, self._guesses = web, guesses

    def start(self) -> str:
        """What a WebVTT file begins with."""
        return "WEBVTT\n\n" if self._web else ""

    def add(self, result: FileTags) -> str:
        """The subtitles of one recording; none if it failed."""
        heard = heard_parts(result, self._guesses)
        return "".join(self._cue(number, part, tag) for number, (part, tag) in enumerate(heard, 1))

    def _cue(self, number: int, part: Segment, tag: Tag) -> str:
        end = max(part.end, part.start + SHOWN)  # players pass over one without a length
        times = f"{self._time(part.start)} --> {self._time(end)}"
        text = visible(tag.label).replace("-->", "->")
        if self._web:
            text = escape(text, quote=False)
        return f"{number}\n{times}\n{text} {tag.score:.2f}\n\n"

    def _time(self, seconds: float) -> str:
        minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
        whole, rest = divmod(milliseconds, 1000)
        mark = "." if self._web else ","
        return f"{minutes // 60:02}:{minutes % 60:02}:{whole:02}{mark}{rest:03}"


class Raven:
    """A selection table for Raven; a file that failed has no selection.

    With several recordings, times continue from one to the next, as in Raven's lists of files;
    `File Offset (s)` is the time within the recording.

    Args:
        sample_rate: The model's, in Hz. Selections reach up to half of it, or to half of the
            recording's if that is lower, as Raven refuses higher frequencies.
        guesses: Whether it has guesses, tags below their threshold, too.
    """

    def __init__(self, sample_rate: int, guesses: bool = False) -> None:
        self._sample_rate, self._guesses = sample_rate, guesses
        self._selections = 0
        self._begin = 0.0  # s, of this recording in the list of recordings

    def start(self) -> str:
        """The header."""
        return "\t".join(RAVEN_COLUMNS) + "\n"

    def add(self, result: FileTags) -> str:
        """The selections of one recording."""
        heard = heard_parts(result, self._guesses)
        lines = [self._line(result, part, tag) for part, tag in heard]
        self._begin += result.duration or 0.0
        return "".join(lines)

    def end(self) -> str:
        """Nothing."""
        return ""

    def _line(self, result: FileTags, part: Segment, tag: Tag) -> str:
        self._selections += 1
        rate = min(self._sample_rate, result.sample_rate or self._sample_rate)
        cells = (
            str(self._selections),
            "Spectrogram 1",
            "1",
            f"{self._begin + part.start:.3f}",
            f"{self._begin + part.end:.3f}",
            "0",
            f"{rate / 2:g}",
            _label(tag),
            f"{tag.score:.4f}",
            _field(os.path.abspath(result.path)),
            f"{part.start:.3f}",
        )
        return "\t".join(cells) + "\n"


class Table(Plain):
    """A table for people: a file's name and length, then its tags, or its timeline.

    A tag shares a line with those above it in AudioSet's ontology; a guess has a question mark.
    """

    def add(self, result: FileTags) -> str:
        """A block of lines."""
        name = visible(result.path)
        if result.error is not None:
            return f"{name}\n  failed: {visible(result.error)}\n"
        lines = [f"{name}  ({clock(result.duration or 0.0)})"]
        if result.warning is not None:
            lines.append(f"  warning: {visible(result.warning)}")
        lines += [f"  {chain.tag.score:.3f}  {chain}" for chain in chains(result.tags)]
        if not result.tags:
            lines.append(f"  {NO_TAG}")
        for part in result.segments:
            heard = ", ".join(f"{chain} {chain.tag.score:.2f}" for chain in chains(part.tags))
            lines.append(f"  {clock(part.start)} - {clock(part.end)}  {heard or '-'}")
        lines += [f"  {event_line(event)}" for event in result.events or ()]
        return "\n".join(lines) + "\n"


STATELESS: dict[str, Callable[[], Format]] = {
    "table": Table,
    "jsonl": Jsonl,
}
SUFFIXES = {
    "table": ".txt",
    "jsonl": ".jsonl",
    "json": ".json",
    "csv": ".csv",
    "audacity": ".labels.txt",
    "srt": ".srt",
    "vtt": ".vtt",
    "raven": ".selections.txt",
    "html": ".html",
}
FORMATS = tuple(SUFFIXES)
OF_ONE = {"audacity": "labels of Audacity", "srt": "subtitles", "vtt": "subtitles"}
TIMELINES = (
    "audacity",
    "srt",
    "vtt",
    "raven",
    "html",
)  # show when each tag was heard: always with a timeline
RESUMABLE = ("jsonl", "csv")  # can be read back, so that a file of them can be resumed


@dataclass(frozen=True)
class Surroundings:
    """The facts, besides the results, that a format may need.

    Attributes:
        single: Whether the output will hold the result of only one recording.
        sample_rate: The model's, in Hz.
        folder: The folder of the output.
        provenance: How the output is made; some formats contain it.
        bom: Whether a csv begins with the byte order mark, by which Excel recognises UTF-8.
        columns: Columns of a csv.
        guesses: Whether formats for other programs have guesses too.
        page: The name of the page in `folder`, beside which its files may lie; None if they
            cannot.
        listening: How previews of recordings are made; None for none.
    """

    single: bool
    sample_rate: int
    folder: Path = Path()
    provenance: Provenance | None = None
    bom: bool = False
    columns: tuple[str, ...] = CSV_COLUMNS
    guesses: bool = False
    page: str | None = None
    listening: Listening | None = None


def make_format(name: str, around: Surroundings) -> Format:
    """The format of a name in `FORMATS`."""
    if name == "json":
        return Json(around.single)
    if name == "csv":
        return Csv(around.columns, around.bom)
    if name == "html":
        return _html(around)
    if name == "raven":
        return Raven(around.sample_rate, around.guesses)
    if name == "audacity":
        return Audacity(around.guesses)
    if name in ("srt", "vtt"):
        return Subtitles(name == "vtt", around.guesses)
    return STATELESS[name]()


def _html(around: Surroundings) -> Format:
    from audiotag.tagging.html import Html
    from audiotag.tagging.page_files import PageFiles, folder_beside

    beside = None if around.page is None else folder_beside(around.folder / around.page)
    return Html(around.folder, around.provenance, PageFiles(beside, around.listening))


def format_of(file_name: str) -> str | None:
    """The format that a file's suffix stands for, if there is one."""
    longest_first = sorted(SUFFIXES.items(), key=lambda item: -len(item[1]))
    return next((n for n, suffix in longest_first if file_name.lower().endswith(suffix)), None)


def _span(part: Segment) -> Row:
    return {"start": rounded_time(part.start), "end": rounded_time(part.end)}


def _event_cells(event: Event) -> Row:
    """What a csv says of an event."""
    values = event.to_dict()
    return values | {"mid": event.mid or ""}


def _tag_cells(tag: Tag) -> Row:
    """The cells of a csv for a tag."""
    guess = "true" if tag.guess else ""
    score = rounded_score(tag.score)
    return {"label": tag.label, "mid": tag.mid or "", "score": score, "guess": guess}


def _label(tag: Tag) -> str:
    """A label as a field of a table that a spreadsheet may open."""
    return harmless(_field(tag.label))


def _field(text: str) -> str:
    """Text without the characters that separate fields and lines."""
    return unicode_text(" ".join(text.replace("\t", "\n").splitlines()))
