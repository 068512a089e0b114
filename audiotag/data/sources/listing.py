"""Listings: collections that say in a table of theirs what each of their files is."""

import csv
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from audiotag.data.recordings import Failure, Recording
from audiotag.errors import DataError

FOLD = "fold"  # the column of numbers


class ListedSource:
    """Recordings of a collection, all known beforehand.

    Args:
        recordings: In a fixed order; a failure for one that is known not to be there.
        labels: The collection's label set in order; what the recordings have if nothing.
    """

    def __init__(
        self, recordings: Iterable[Recording | Failure], labels: tuple[str, ...] | None = None
    ) -> None:
        self.labels = labels
        self._recordings = tuple(recordings)
        digest = hashlib.sha256(repr(labels).encode())
        for recording in self._recordings:
            digest.update(repr(_known(recording)).encode())
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._recordings)

    def recordings(self, first: int, last: int) -> Iterator[Recording | Failure]:
        """As `Source.recordings`."""
        yield from self._recordings[first:last]


def _known(recording: Recording | Failure) -> tuple:
    if isinstance(recording, Failure):
        return recording.source, recording.kind
    return recording.name, recording.labels, recording.split, recording.fold


def read_table(path: Path, columns: Iterable[str], home: str) -> list[dict[str, str]]:
    """Rows of a collection's csv file.

    Args:
        path: The file.
        columns: What it must have.
        home: Where the collection is to be had.

    Raises:
        DataError: If it cannot be read, lacks a column or a value, or has no row.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise DataError(
            f"there is no {path}; give the folder that {home} is unpacked into"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); get it anew from {home}") from error
    missing = [name for name in columns if name not in (rows[0] if rows else ())]
    if missing:
        raise DataError(f"{path} lacks {' and '.join(missing)}; get it anew from {home}")
    for number, row in enumerate(rows, 2):
        _check(row, columns, f"{path}, row {number}")
    return rows


def _check(row: dict[str, str], columns: Iterable[str], place: str) -> None:
    for column in columns:
        if not row[column]:
            raise DataError(f"{place}: {column} is empty")
        if column == FOLD and not row[column].isdecimal():
            raise DataError(f"{place}: fold {row[column]!r} is not a whole number")


def valid_first(fold: int) -> str:
    """The split of a clip in a collection of folds: the first is for validation.

    A cross-validation goes by the folds whatever the splits.
    """
    return "valid" if fold == 1 else "train"
