"""Recordings in parquet or Arrow files with a column of audio, as `datasets` writes them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.data.recordings import (
    Audio,
    BytesAudio,
    Failure,
    FileAudio,
    Recording,
    SamplesAudio,
    printable,
)
from audiotag.data.sources.archives import Archive, FoundRows, NoClipsError
from audiotag.data.sources.collections import valid_first
from audiotag.data.sources.datasets.columns import (
    ARRAY,
    BYTES,
    PATH,
    RATE,
    Columns,
    LabelError,
    audio_column,
    labels_of,
)
from audiotag.data.sources.datasets.paths import inside
from audiotag.data.sources.datasets.table_file import DAMAGE, read_batches, read_schema
from audiotag.data.sources.splits import split_named


@dataclass(frozen=True)
class TablesLayout:
    """As `archives.ArchiveLayout`.

    Attributes:
        folder: Of the data set; files that are named in place of audio lie below it.
        columns: Those of all its files.
        divides: Whether its only split is divided: by folds if there are some, else by a hash.
    """

    folder: Path
    columns: Columns
    divides: bool

    @property
    def labels(self) -> tuple[str, ...] | None:
        """As `ArchiveLayout.labels`."""
        return self.columns.names or None

    @property
    def chosen(self) -> Sequence[str]:
        """As `ArchiveLayout.chosen`."""
        return [*self.columns.all, str(self.divides)]

    def rows(self, path: Path) -> FoundRows | None:
        """As `ArchiveLayout.rows`."""
        try:
            schema, count = read_schema(path)
        except DAMAGE:
            return None
        if audio_column(path.name, schema, None) is None:
            raise NoClipsError("has no column of audio")
        missing = [name for name in self.columns.all if name not in schema.names]
        if missing:
            raise NoClipsError(f"has no column {' and no column '.join(missing)}")
        return FoundRows(np.arange(count))

    def read(self, archive: Archive, rows: np.ndarray) -> Iterator[Recording | Failure]:
        """As `ArchiveLayout.read`."""
        following, last = int(rows[0]), int(rows[-1])
        try:
            for start, table in read_batches(archive.path, self.columns.all, following):
                begin = following - start
                for row in table.slice(begin, last + 1 - following).to_pylist():
                    found = self._recording(archive, following, row)
                    following += 1
                    yield found
                if following > last:
                    return
            reason = "is not there: the file is cut off"
        except DAMAGE as error:
            reason = f"cannot be read ({error})"
        for row in range(following, last + 1):
            yield Failure(f"{archive.name}, row {row}", reason)

    def _recording(
        self, archive: Archive, number: int, row: Mapping[str, Any]
    ) -> Recording | Failure:
        columns = self.columns
        value = row[columns.audio]
        path = value.get(PATH) if isinstance(value, dict) else None
        name = printable(f"{archive.name}/{path or f'row {number}'}")
        try:
            labels = labels_of(row[columns.label] if columns.label else None, columns.names)
            audio, fold = _audio(value, self.folder), _fold(columns.fold and row[columns.fold])
        except ValueError as error:
            kind = "class" if isinstance(error, LabelError) else "unreadable"
            return Failure(f"{archive.name}, row {number}", printable(str(error)), kind)
        said = row[columns.split] if columns.split else None
        split = (split_named(str(said)) or str(said)) if said else self._split(archive, fold)
        group = row[columns.group] if columns.group else None
        return Recording(name, audio, labels, split, fold, None if group is None else str(group))

    def _split(self, archive: Archive, fold: int | None) -> str | None:
        if not self.divides:
            return archive.split
        return None if fold is None else valid_first(fold)


def _audio(value: Any, folder: Path) -> Audio:
    if isinstance(value, bytes):
        return BytesAudio(value)
    if not isinstance(value, dict):
        raise ValueError("it has no audio")
    if value.get(BYTES):
        return BytesAudio(value[BYTES])
    if value.get(ARRAY) and value.get(RATE):
        samples = np.asarray(value[ARRAY], np.float32)
        samples = samples.mean(int(np.argmin(samples.shape))) if samples.ndim == 2 else samples
        return SamplesAudio(samples, int(value[RATE]))
    if value.get(PATH):
        return FileAudio(inside(folder, str(value[PATH])))
    raise ValueError("it has no audio")


def _fold(value: Any) -> int | None:
    if value is None or value == "":
        return None
    number = float(value)
    if not number.is_integer():
        raise ValueError(f"its fold {str(value)[:40]!r} is not a whole number")
    return int(number)
