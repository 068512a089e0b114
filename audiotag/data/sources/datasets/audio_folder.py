"""Audio files with a table `metadata.csv` or `metadata.jsonl` beside them, `datasets`' AudioFolder.

A row's `file_name` is a path from the table's folder; its other columns are what is known of it.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from audiotag.audio.find_files import find_files
from audiotag.data.recordings import Failure, FileAudio, Recording, printable
from audiotag.data.sources.collections import ListedSource, valid_first
from audiotag.data.sources.datasets.columns import (
    Columns,
    LabelError,
    Names,
    find_columns,
    labels_of,
)
from audiotag.data.sources.datasets.paths import inside
from audiotag.data.sources.splits import TRAIN, split_named, split_notes
from audiotag.data.sources.text import encoding_of
from audiotag.errors import DataError

TABLES = ("metadata.csv", "metadata.jsonl")
FILE_NAMES = ("file_name", "audio_file_name", "filename")


def find_tables(folder: Path) -> list[Path]:
    """The tables below a folder, in order."""
    return sorted(path for name in TABLES for path in folder.rglob(name))


def open_audio_folder(
    folder: Path, tables: list[Path], names: Names, label: str | None = None
) -> ListedSource:
    """The recordings that tables list.

    Args:
        folder: The data set.
        tables: Its `metadata.csv` and `metadata.jsonl`.
        names: Of the classes of columns that hold their numbers.
        label: The column of the labels, if the user says it.

    Raises:
        DataError: If a table cannot be read, or lacks the file's name or the labels.
    """
    found: list[Recording | Failure] = []
    columns = Columns("", None)
    for table in tables:
        rows = list(_rows(table))
        columns = _columns(table, rows, names, label)
        found += [_recording(folder, table, columns, row) for row in rows]
    if {x.split for x in found if isinstance(x, Recording)} <= {TRAIN, None}:
        found = [_divided(x) for x in found]
    source = ListedSource(folder, found, None)
    source.notes = _notes(folder, found, columns)
    return source


def _notes(folder: Path, found: list[Recording | Failure], columns: Columns) -> tuple[str, ...]:
    recordings = [x for x in found if isinstance(x, Recording)]
    notes = split_notes({x.name.rpartition("/")[0] or ".": x.split for x in recordings if x.split})
    notes += (f"labels are in the column {columns.label}",)
    listed = {x.name for x in recordings}
    paths = (path.relative_to(folder).as_posix() for path in find_files([folder]))
    others = sum(path not in listed for path in paths)
    return notes + (f"{others:,} audio files are in no table, and left out",) * bool(others)


def _rows(table: Path) -> Iterator[dict[str, Any]]:
    try:
        with table.open(encoding=encoding_of(table), newline="") as file:
            if table.suffix == ".csv":
                yield from csv.DictReader(file)
            else:
                yield from (json.loads(line) for line in file if line.strip())
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise DataError(f"{table} cannot be read ({error})") from error


def _columns(table: Path, rows: list[dict[str, Any]], names: Names, label: str | None) -> Columns:
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{table} lists no recordings")
    known = list(dict.fromkeys(name for row in rows for name in row if name is not None))
    file = next((name for name in FILE_NAMES if name in known), None)
    if file is None:
        raise DataError(f"{table} has no column file_name; it has {', '.join(known)}")
    return find_columns(str(table), known, names, file, label)


def _recording(
    folder: Path, table: Path, columns: Columns, row: Mapping[str, Any]
) -> Recording | Failure:
    name = str(row.get(columns.audio) or "")
    try:
        path = inside(folder, (table.parent.relative_to(folder) / name).as_posix())
        labels = labels_of(row.get(columns.label or ""), columns.names)
        fold = row.get(columns.fold or "")
        number = None if fold in (None, "") else int(float(fold))
    except ValueError as error:
        kind = "class" if isinstance(error, LabelError) else "unreadable"
        return Failure(printable(name or f"a row of {table.name}"), printable(str(error)), kind)
    place = path.relative_to(folder).as_posix()
    group = row.get(columns.group or "")
    return Recording(
        place,
        FileAudio(path),
        labels,
        _split(place, row.get(columns.split or "")),
        number,
        str(group) if group else None,
    )


def _split(path: str, said: Any) -> str | None:
    """The split that the table says, or else the nearest folder that is called as one."""
    if said:
        return split_named(str(said)) or str(said)
    named = (split_named(name) for name in reversed(path.split("/")[:-1]))
    return next(filter(None, named), None)


def _divided(found: Recording | Failure) -> Recording | Failure:
    """A recording of a data set without splits: its fold, or else a hash, gives it one."""
    if isinstance(found, Failure):
        return found
    return replace(found, split=None if found.fold is None else valid_first(found.fold))
