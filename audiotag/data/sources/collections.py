"""Published collections that come with a table of their files."""

import csv
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from audiotag.data.recordings import Failure, FileAudio, Recording, SegmentAudio
from audiotag.data.sources.text import encoding_of
from audiotag.errors import DataError

FOLD = "fold"  # the column of numbers
WHOLE = re.compile(r"([0-9]{1,9})(?:\.0*)?")  # pandas writes 1.0 where a column has gaps
ROWS = 4096  # made or read at once
_LISTED = pa.schema(
    [
        ("name", pa.binary()),  # a file name need not be text
        ("labels", pa.list_(pa.dictionary(pa.int32(), pa.string()))),
        ("split", pa.dictionary(pa.int32(), pa.string())),
        ("fold", pa.int64()),
        ("group", pa.string()),
        ("key", pa.string()),
        ("start", pa.float64()),
        ("seconds", pa.list_(pa.float64())),  # of the file, or of the video that it may be
        ("is_segment", pa.bool_()),
        ("reason", pa.dictionary(pa.int32(), pa.string())),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
    ]
)


class ListedSource:
    """Recordings of a collection, all held in memory; each takes some 120 bytes.

    Args:
        folder: The recordings' names are paths below it.
        recordings: Recordings of files, in a fixed order; a failure for one that is missing.
        labels: The collection's label set in order; if None, the labels that the recordings have.

    Attributes:
        notes: For a reader, how the collection was read.
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        folder: Path,
        recordings: Iterable[Recording | Failure],
        labels: tuple[str, ...] | None = None,
    ) -> None:
        self.labels = labels
        self._folder = folder
        self._rows = _LISTED.empty_table()
        digest, iterator = hashlib.sha256(repr(labels).encode()), iter(recordings)
        while batch := list(islice(iterator, ROWS)):
            for one in batch:
                digest.update(repr(_known(one)).encode())
            rows = pa.Table.from_pylist([_row(one) for one in batch], _LISTED)
            self._rows = pa.concat_tables([self._rows, rows])
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._rows)

    def files(self, last: int) -> Iterator[Path]:
        """As `Source.files`."""
        names = self._rows["name"].slice(0, last)
        return (self._folder / os.fsdecode(name.as_py()) for name in names)

    def recordings(self, first: int, last: int) -> Iterator[Recording | Failure]:
        """As `Source.recordings`."""
        for batch in self._rows.slice(first, last - first).to_batches(max_chunksize=ROWS):
            for row in batch.to_pylist():
                yield self._recording(**row)

    def _recording(
        self,
        name: str,
        labels: list[str],
        seconds: list[float] | None,
        is_segment: bool,
        reason: str | None,
        kind: str | None,
        **known: Any,
    ) -> Recording | Failure:
        name = os.fsdecode(name)
        if kind is not None:
            return Failure(name, reason or "", kind)
        path = self._folder / name
        kind_of_audio = SegmentAudio if is_segment else FileAudio
        audio = kind_of_audio(path, *(seconds or ()))
        return Recording(name, audio, tuple(labels), **known)


def _row(one: Recording | Failure) -> dict[str, Any]:
    if isinstance(one, Failure):
        return {"name": os.fsencode(one.source), "reason": one.reason, "kind": one.kind}
    fields = ("labels", "split", "fold", "group", "key", "start")
    row = {"name": os.fsencode(one.name)} | {field: getattr(one, field) for field in fields}
    audio = one.audio
    row["is_segment"] = isinstance(audio, SegmentAudio)
    if isinstance(audio, SegmentAudio | FileAudio) and audio.end is not None:
        row["seconds"] = [audio.start, audio.end]
    return row


def _known(recording: Recording | Failure) -> tuple:
    if isinstance(recording, Failure):
        return recording.source, recording.kind
    return recording.name, recording.labels, recording.split, recording.fold


@dataclass(frozen=True)
class CollectionLayout:
    """The paths of a collection's table and of its audio files, below its folder."""

    table: Path
    audio: str


def find_layout(folder: Path, layouts: Sequence[CollectionLayout]) -> CollectionLayout:
    """The first layout whose table and audio folder are there, in the folder or in one of its
    sub-folders; the very first if none is."""
    folders = (path for path in sorted(folder.iterdir()) if path.is_dir())
    for place in ("", *(path.name for path in folders)):
        for layout in layouts:
            table, audio = place / layout.table, Path(place, layout.audio).as_posix()
            if (folder / table).is_file() and (folder / audio).is_dir():
                return CollectionLayout(table, audio)
    return layouts[0]


def read_table(path: Path, columns: Iterable[str], home: str) -> list[dict[str, str]]:
    """Rows of a collection's csv file.

    Args:
        path: The file.
        columns: Columns that it must have.
        home: Where the collection can be downloaded.

    Raises:
        DataError: If it cannot be read, lacks a column or a value, or has no row.
    """
    try:
        with path.open(encoding=encoding_of(path), newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise DataError(
            f"there is no {path}; give the folder that {home} is unpacked into"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); get it again from {home}") from error
    missing = [name for name in columns if name not in (rows[0] if rows else ())]
    if missing:
        raise DataError(f"{path} lacks {' and '.join(missing)}; get it again from {home}")
    for number, row in enumerate(rows, 2):
        _check(row, columns, f"{path}, row {number}")
        if FOLD in columns:
            row[FOLD] = row[FOLD].partition(".")[0]
    return rows


def _check(row: dict[str, str], columns: Iterable[str], place: str) -> None:
    for column in columns:
        if not row[column]:
            raise DataError(f"{place}: {column} is empty")
        if column == FOLD and not WHOLE.fullmatch(row[column]):
            raise DataError(f"{place}: fold {row[column][:40]!r} is not a whole number")


def valid_first(fold: int) -> str:
    """The split of a clip in a collection with folds: the first fold is for validation.

    A cross-validation uses only the folds.
    """
    return "valid" if fold == 1 else "train"
