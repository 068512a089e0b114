"""Your own recordings, listed in a table."""

import csv
import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from audiotag.data.recordings import Failure, FileAudio, Recording
from audiotag.data.sources.splits import split_named, split_notes
from audiotag.data.sources.text import encoding_of
from audiotag.errors import DataError

COLUMNS = ("path", "label")
HEADER_ROWS = 1
MAX_FOLD = 1e9
SAME = ("split", "fold", "group")  # in all rows of a recording
KEPT_DECISION = "right"  # of a review
LEFT_OUT = -1  # stands for the first row of a recording, where a row is not taken
LONGEST = 1e7  # s, of a recording; some months


class CsvSource:
    """Recordings that a table lists, one row for each, or one row for each label.

    Its columns are path (relative to the table) and label (several joined by `;`), and optionally
    split, fold, group, start and end (seconds). A split that is spelled otherwise than ours is
    taken for it (`splits.NAMES`); any other is one of its own.

    A table of decisions, which the page of results exports, has the column decision too: of it only
    events whose tag is right are taken.

    Args:
        table: A csv file in UTF-8 or UTF-16.

    Attributes:
        notes: For a reader, splits that are spelled otherwise.

    Raises:
        DataError: If it cannot be read, lacks a column, or has an invalid value; names the row,
            where the header is row 1.
    """

    labels: tuple[str, ...] | None = None

    def __init__(self, table: Path) -> None:
        self._table = table
        self._spellings: dict[str, str] = {}  # split by what the table calls it
        try:
            self._encoding = encoding_of(table)
            self.fingerprint = hashlib.sha256(table.read_bytes()).hexdigest()
            self._first = _first_rows(self._rows(), table.parent)
            self._joined = self._join()
        except OSError as error:
            raise DataError(f"{table} cannot be read ({error.strerror})") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{table} cannot be read ({error}); save it as UTF-8 csv") from error
        if not len(self._first):
            raise DataError(f"{table} lists no recordings")
        self._length = len(np.unique(self._first[self._first != LEFT_OUT]))
        if not self._length:
            raise DataError(f"{table} has no event of which the decision is {KEPT_DECISION}")
        self.notes = split_notes({x: y for x, y in self._spellings.items() if x != y})
        if left_out := int((self._first == LEFT_OUT).sum()):
            self.notes += (f"{left_out} events whose decision is not right are left out",)

    def __len__(self) -> int:
        return self._length

    def files(self, last: int) -> Iterator[Path]:
        """As `Source.files`; not the table, which the fingerprint is of."""
        for recording in islice(self._recordings(), last):
            assert isinstance(recording.audio, FileAudio)
            yield recording.audio.path

    def recordings(self, first: int, last: int) -> Iterator[Recording | Failure]:
        """As `Source.recordings`."""
        yield from islice(self._recordings(), first, last)

    def _recordings(self) -> Iterator[Recording]:
        for place, recording in enumerate(self._rows()):
            if recording is not None and self._first[place] == place:
                yield self._joined.get(place, recording)

    def _join(self) -> dict[int, Recording]:
        """The recordings with several rows, with all their labels, by their first row."""
        places = np.arange(len(self._first))
        repeated = set(self._first[self._first != places].tolist()) - {LEFT_OUT}
        joined: dict[int, Recording] = {}
        for place, recording in enumerate(self._rows() if repeated else ()):
            first = int(self._first[place])
            if recording is not None and first in repeated:
                former = joined.setdefault(first, recording)
                self._check_same(former, recording, first, place)
                labels = dict.fromkeys(former.labels + recording.labels)
                joined[first] = replace(former, labels=tuple(labels))
        return joined

    def _check_same(self, former: Recording, later: Recording, first: int, place: int) -> None:
        for name in SAME:
            values = getattr(former, name), getattr(later, name)
            if values[0] != values[1]:
                raise DataError(
                    f"{self._table}, row {_number(place)}: {name} is {values[1]}, but "
                    f"{values[0]} in row {_number(first)} of the same recording"
                )

    def _rows(self) -> Iterator[Recording | None]:
        """The recording of each row; None for one that is left out."""
        with self._table.open(encoding=self._encoding, newline="") as file:
            rows = csv.DictReader(file)
            self._check_columns(Counter(rows.fieldnames or ()))
            for place, row in enumerate(rows):
                try:
                    if rows.restkey in row:
                        raise ValueError(
                            "it has more values than columns; put those with a comma in quotes"
                        )
                    is_kept = row.get("decision", KEPT_DECISION) == KEPT_DECISION
                    recording = _recording(row, self._table.parent)
                    yield self._with_split(recording) if is_kept else None
                except ValueError as error:
                    raise DataError(f"{self._table}, row {_number(place)}: {error}") from error

    def _with_split(self, recording: Recording) -> Recording:
        if recording.split is None:
            return recording
        split = split_named(recording.split) or recording.split
        self._spellings[recording.split] = split
        return replace(recording, split=split)

    def _check_columns(self, columns: Counter[str]) -> None:
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            raise DataError(f"{self._table} lacks the column {' and '.join(missing)}")
        doubled = [name for name, count in columns.items() if count > 1]
        if doubled:
            raise DataError(
                f"{self._table} has several columns {doubled[0]}; rename all but one, or join "
                "labels by ;"
            )


def _number(place: int) -> int:
    """A row's number in a spreadsheet."""
    return place + HEADER_ROWS + 1


def _first_rows(rows: Iterator[Recording | None], folder: Path) -> np.ndarray:
    """For each row, the first row (N,) of the same recording: the same seconds of the same file,
    for any spelling of its path; `LEFT_OUT` where there is none. It takes 16 bytes a row, and as
    many again while it runs."""
    digests, left_out = bytearray(), []
    for place, row in enumerate(rows):
        same: tuple = ()
        if row is None:
            left_out.append(place)
        else:
            assert isinstance(row.audio, FileAudio)
            same = (_place(row.name, folder), row.audio.start, row.audio.end)
        digests += hashlib.sha256(repr(same).encode(errors="surrogateescape")).digest()[:16]
    values = np.frombuffer(digests, "S16")
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rows_first = first[inverse]
    rows_first[left_out] = LEFT_OUT
    return rows_first


def _place(path: str, folder: Path) -> str:
    """A path relative to the table's folder, with the same spelling for the same file."""
    return os.path.relpath(os.path.join(folder, path), folder)


def _recording(row: Mapping[str, str | None], folder: Path) -> Recording:
    path = row["path"]
    if not path:
        raise ValueError("path is empty")
    if "\0" in path:
        raise ValueError(f"path {path[:40]!r} has a zero byte")
    start, end = _seconds(row, "start") or 0.0, _seconds(row, "end")
    if end is not None and end <= start:
        raise ValueError(f"end {end:g} is not after start {start:g}")
    return Recording(
        path,
        FileAudio(folder / path, start, end),
        tuple(name.strip() for name in (row["label"] or "").split(";") if name.strip()),
        row.get("split") or None,
        _fold(row.get("fold")),
        row.get("group") or _place(path, folder),
        start=start,
    )


def _fold(text: str | None) -> int | None:
    if not text:
        return None
    try:
        value = float(text)  # pandas writes 1.0 where a column has gaps
    except ValueError:
        value = math.nan
    if not (value.is_integer() and abs(value) < MAX_FOLD):
        raise ValueError(f"fold {text[:40]!r} is not a whole number")
    return int(value)


def _seconds(row: Mapping[str, str | None], column: str) -> float | None:
    text = row.get(column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= LONGEST:
        raise ValueError(f"{column} {text[:40]!r} is not a number of seconds")
    return value
