"""Your own recordings, listed in a table."""

import csv
import hashlib
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from audiotag.data.recordings import Failure, FileAudio, Recording
from audiotag.errors import DataError

COLUMNS = ("path", "label")


class CsvSource:
    """Recordings that a table lists, one in each row.

    Its columns are path (relative to the table) and label (several joined by `;`), and optionally
    split, fold, group, start and end (seconds).

    Args:
        table: A csv file in UTF-8.

    Raises:
        DataError: If it cannot be read, lacks a column, or has an impossible value; names the row,
            of which the header is the first.
    """

    labels: tuple[str, ...] | None = None

    def __init__(self, table: Path) -> None:
        self._table = table
        try:
            self.fingerprint = hashlib.sha256(table.read_bytes()).hexdigest()
            self._length = sum(1 for _ in self._recordings())
        except OSError as error:
            raise DataError(f"{table} cannot be read ({error.strerror})") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{table} cannot be read ({error}); save it as UTF-8 csv") from error
        if not self._length:
            raise DataError(f"{table} lists no recordings")

    def __len__(self) -> int:
        return self._length

    def recordings(self, first: int, last: int) -> Iterator[Recording | Failure]:
        """As `Source.recordings`."""
        yield from islice(self._recordings(), first, last)

    def _recordings(self) -> Iterator[Recording]:
        with self._table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise DataError(f"{self._table} lacks the column {' and '.join(missing)}")
            for number, row in enumerate(rows, 2):
                try:
                    yield _recording(row, self._table.parent)
                except ValueError as error:
                    raise DataError(f"{self._table}, row {number}: {error}") from error


def _recording(row: Mapping[str, str | None], folder: Path) -> Recording:
    path = row["path"]
    if not path:
        raise ValueError("path is empty")
    start, end = _seconds(row, "start") or 0.0, _seconds(row, "end")
    if end is not None and end <= start:
        raise ValueError(f"end {end:g} is not after start {start:g}")
    return Recording(
        path,
        FileAudio(folder / path, start, end),
        tuple(name.strip() for name in (row["label"] or "").split(";") if name.strip()),
        row.get("split") or None,
        _fold(row.get("fold")),
        row.get("group") or path,
        start=start,
    )


def _fold(text: str | None) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        raise ValueError(f"fold {text!r} is not a whole number") from None


def _seconds(row: Mapping[str, str | None], column: str) -> float | None:
    text = row.get(column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{column} {text!r} is not a number of seconds")
    return value
