"""Embeddings as a parquet file, with a row for each recording; `embeddings` says what is in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from audiotag.tagging.results import FileEmbedding

ROWS_PER_GROUP = 256  # files of a parquet row group, held in memory
VECTOR = pa.list_(pa.float32())
SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "duration": pa.float64(),
        "clip": VECTOR,
        "window_starts": pa.list_(pa.float64()),
        "windows": pa.list_(VECTOR),
        "error": pa.string(),
    }
)


class Rows:
    """Rows on their way to a parquet file, written in groups."""

    def __init__(self, file: IO[bytes]) -> None:
        self._writer = pq.ParquetWriter(file, SCHEMA)
        self._rows: list[FileEmbedding] = []

    def write(self, result: FileEmbedding) -> None:
        """Take the embeddings of one file."""
        self._rows.append(result)
        if len(self._rows) == ROWS_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write the rows at hand as a row group."""
        rows = [_row(result) for result in self._rows]
        self._writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
        self._rows = []

    def close(self) -> None:
        """Write what is left, and the footer."""
        self.flush()
        self._writer.close()


def _row(result: FileEmbedding) -> dict[str, Any]:
    # Arrow takes valid Unicode only; a file name may be any bytes.
    path = os.fsencode(result.path).decode("utf-8", "backslashreplace")
    if result.error is not None:
        return {"path": path, "error": result.error}
    return {
        "path": path,
        "duration": result.duration,
        "clip": result.clip,
        "window_starts": result.starts,
        "windows": list(result.windows),
    }


@contextmanager
def parquet(file: IO[bytes], path: Path) -> Iterator[Rows]:
    """A writer of the embeddings of many files; `path` is the file's name for messages."""
    rows = Rows(file)
    try:
        yield rows
    finally:
        rows.close()  # before the file: the writer would complain later
