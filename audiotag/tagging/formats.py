"""Formats: results of tagging as text, one class for each format.

A format turns each result into text (`add`); what comes before all results is `start`, what comes
after them is `end`. `single` says that a stream or file holds the result of one recording only.
"""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path

from audiotag.tagging.results import FileTags, Segment, Tag, rounded_score, rounded_time
from audiotag.tagging.text import (
    NO_TAG,
    Format,
    Plain,
    clock,
    parts,
    to_json,
)

CSV_COLUMNS = ("path", "start", "end", "label", "mid", "score", "error")
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
    """A header; a row for each file and tag, with a timeline for each segment and tag.

    A file without tags has one row without a label, and a file that failed one row with the error,
    so that every file is listed.
    """

    def start(self) -> str:
        """The header."""
        return csv_line(CSV_COLUMNS)

    def add(self, result: FileTags) -> str:
        """The rows of one file, never none."""
        if result.error is not None:
            return csv_line((result.path, "", "", "", "", "", result.error))
        rows = [
            (result.path, *_span(part), tag.label, tag.mid or "", str(rounded_score(tag.score)), "")
            for part in parts(result)
            for tag in part.tags
        ]
        whole = Segment(0.0, result.duration or 0.0, ())
        return "".join(map(csv_line, rows or [(result.path, *_span(whole), "", "", "", "")]))


class Audacity(Plain):
    """A label track: start, end, and label with score, separated by tabs (File > Import)."""

    def add(self, result: FileTags) -> str:
        """The labels of one recording; none if it failed."""
        return "".join(
            f"{part.start:.6f}\t{part.end:.6f}\t{_field(tag.label)} {tag.score:.2f}\n"
            for part in parts(result)
            for tag in part.tags
        )


class Raven:
    """A selection table for Raven; a file that failed has no selection.

    With several recordings times run on from one to the next, as Raven shows a list of files;
    `File Offset (s)` is the time in the recording itself.

    Args:
        sample_rate: That of the model, in Hz: selections reach up to half of it.
    """

    def __init__(self, sample_rate: int) -> None:
        self._high = sample_rate / 2
        self._selections = 0
        self._begin = 0.0  # s, of this recording in the list of recordings

    def start(self) -> str:
        """The header."""
        return "\t".join(RAVEN_COLUMNS) + "\n"

    def add(self, result: FileTags) -> str:
        """The selections of one recording."""
        lines = [self._line(result.path, part, tag) for part in parts(result) for tag in part.tags]
        self._begin += result.duration or 0.0
        return "".join(lines)

    def end(self) -> str:
        """Nothing."""
        return ""

    def _line(self, path: str, part: Segment, tag: Tag) -> str:
        self._selections += 1
        cells = (
            str(self._selections),
            "Spectrogram 1",
            "1",
            f"{self._begin + part.start:.3f}",
            f"{self._begin + part.end:.3f}",
            "0",
            f"{self._high:g}",
            _field(tag.label),
            f"{tag.score:.4f}",
            _field(os.path.abspath(path)),
            f"{part.start:.3f}",
        )
        return "\t".join(cells) + "\n"


class Table(Plain):
    """For reading: a file's name and length, then its tags, or its timeline."""

    def add(self, result: FileTags) -> str:
        """A block of lines."""
        if result.error is not None:
            return f"{result.path}\n  failed: {result.error}\n"
        lines = [f"{result.path}  ({clock(result.duration or 0.0)})"]
        lines += [f"  {tag.score:.3f}  {tag.label}" for tag in result.tags]
        if not result.tags:
            lines.append(f"  {NO_TAG}")
        for part in result.segments:
            heard = ", ".join(f"{tag.label} {tag.score:.2f}" for tag in part.tags)
            lines.append(f"  {clock(part.start)} - {clock(part.end)}  {heard or '-'}")
        return "\n".join(lines) + "\n"


STATELESS: dict[str, Callable[[], Format]] = {
    "table": Table,
    "jsonl": Jsonl,
    "csv": Csv,
    "audacity": Audacity,
}
SUFFIXES = {
    "table": ".txt",
    "jsonl": ".jsonl",
    "json": ".json",
    "csv": ".csv",
    "audacity": ".labels.txt",
    "raven": ".selections.txt",
    "html": ".html",
}
FORMATS = tuple(SUFFIXES)
TIMELINES = ("audacity", "raven", "html")  # show when each tag was heard: always with a timeline
RESUMABLE = ("jsonl", "csv")  # can be read back, so that a file of them can be resumed


def make_format(name: str, single: bool, sample_rate: int, folder: Path = Path()) -> Format:
    """The format of a name in `FORMATS`.

    Args:
        name: Its name.
        single: Whether it will hold the result of one recording only.
        sample_rate: That of the model, in Hz.
        folder: Where the output will lie.
    """
    if name == "json":
        return Json(single)
    if name == "html":
        from audiotag.tagging.html import Html

        return Html(folder)
    if name == "raven":
        return Raven(sample_rate)
    return STATELESS[name]()


def format_of(file_name: str) -> str | None:
    """The format that a file's suffix stands for, if there is one."""
    longest_first = sorted(SUFFIXES.items(), key=lambda item: -len(item[1]))
    return next((n for n, suffix in longest_first if file_name.lower().endswith(suffix)), None)


def csv_line(cells: tuple) -> str:
    """One CSV row."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _span(part: Segment) -> tuple[float, float]:
    return rounded_time(part.start), rounded_time(part.end)


def _field(text: str) -> str:
    """Text without what separates fields and lines."""
    return " ".join(text.replace("\t", "\n").splitlines())
