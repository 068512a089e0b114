"""Embeddings as a parquet file, with a row for each recording; `embeddings` says what is in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from audiotag.tagging.embedding_store import (
    PARQUET_MADE_WITH,
    UNREADABLE,
    Content,
    Earlier,
    EmbeddingStore,
    not_resumable,
)
from audiotag.tagging.provenance import Provenance

# A row group is held in memory.
ROWS_PER_GROUP = 256
VALUES_PER_GROUP = 2**23  # of embeddings
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


def read_done(path: Path) -> Earlier:
    """The content of a parquet file of an earlier run.

    Raises:
        DataError: If it is damaged, or not an output of `embed`.
    """
    done: list[str] = []
    failed: dict[str, str] = {}
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(SCHEMA):
                raise pa.ArrowInvalid("its columns are others")
            for batch in file.iter_batches(ROWS_PER_GROUP, columns=["path", "error"]):
                for row in batch.to_pylist():
                    if row["error"] is None:
                        done.append(row["path"])
                    else:
                        failed[row["path"]] = row["error"]
            made = Provenance.from_json((file.schema_arrow.metadata or {})[PARQUET_MADE_WITH])
    except (*UNREADABLE, OSError, pa.ArrowException) as error:
        raise not_resumable(path, error) from error
    return Earlier(made, done, failed)


def write(file: IO[bytes], content: Content) -> None:
    """Write a parquet file."""
    schema = SCHEMA.with_metadata({PARQUET_MADE_WITH: content.made.to_json()})
    left = {as_text(path): error for path, error in content.failed.items()}
    with _closed(pq.ParquetWriter(file, schema)) as writer:
        if content.earlier is not None:
            _copy(content.earlier, writer, left)
        for rows in _groups(_rows(content.store, left)):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def as_text(path: str) -> str:
    """A path as parquet stores it: Arrow takes only valid Unicode, and a path may be any bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextmanager
def _closed(writer: pq.ParquetWriter) -> Iterator[pq.ParquetWriter]:
    try:
        yield writer
    finally:
        writer.close()  # before the file: the writer would complain later


def _copy(earlier: Path, writer: pq.ParquetWriter, left: dict[str, str]) -> None:
    """Copy the rows of a file; rows with an error only if it is in `left`, and then remove it
    there."""
    with pq.ParquetFile(earlier) as file:
        for batch in file.iter_batches(ROWS_PER_GROUP):
            errors, paths = batch.column("error").to_pylist(), batch.column("path").to_pylist()
            kept = [
                error is None or _take(left, path, error)
                for path, error in zip(paths, errors, strict=True)
            ]
            writer.write_batch(batch.filter(pa.array(kept)))


def _take(left: dict[str, str], path: str, error: str) -> bool:
    """Remove a failure from those that are left; returns whether it was there, with this error."""
    is_left = left.get(path) == error
    if is_left:
        del left[path]
    return is_left


def _rows(store: EmbeddingStore, left: dict[str, str]) -> Iterator[dict[str, Any]]:
    """A row for each recording in a store; of one that failed several times, one."""
    done = [record for record in store.records if record.error is None]
    arrays = zip(store.clips(done), store.starts(done), store.windows(done), strict=True)
    for record in store.records:
        path = as_text(record.path)
        if record.error is not None:
            if (error := left.pop(path, None)) is not None:
                yield {"path": path, "error": error}
            continue
        clip, starts, windows = next(arrays)
        yield {
            "path": path,
            "duration": record.duration,
            "clip": clip[0],
            "window_starts": starts,
            "windows": list(windows),
        }


def _groups(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows that are written together."""
    group: list[dict[str, Any]] = []
    values = 0
    for row in rows:
        group.append(row)
        values += sum(map(len, row.get("windows", ())))
        if len(group) == ROWS_PER_GROUP or values >= VALUES_PER_GROUP:
            yield group
            group, values = [], 0
    if group:
        yield group
