"""Tables with audio in them: parquet files, and Arrow files as `save_to_disk` writes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PARQUET, ARROW = ".parquet", ".arrow"
SUFFIXES = (PARQUET, ARROW)
BATCH = 16  # rows in memory at once
# What pyarrow raises where a file is damaged, or has columns of other types.
DAMAGE = (OSError, pa.ArrowException, ValueError, LookupError, TypeError, MemoryError)


def read_schema(path: Path) -> tuple[pa.Schema, int]:
    """Columns, and number of rows.

    Raises:
        Exception: One of `DAMAGE`.
    """
    if path.suffix.lower() == PARQUET:
        with pq.ParquetFile(path) as file:
            return file.schema_arrow, file.metadata.num_rows
    with _opened(path) as reader:
        return reader.schema, sum(len(batch) for batch in _batches(reader))


def read_batches(path: Path, columns: list[str], first: int) -> Iterator[tuple[int, pa.Table]]:
    """Number of the first row, and the rows, of each batch from the one that has row `first`.

    Raises:
        Exception: One of `DAMAGE`.
    """
    start = 0
    for part in _parquet(path, columns, first) if _is_parquet(path) else _arrow(path, columns):
        if start + len(part) > first:
            yield start, part
        start += len(part)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == PARQUET


def _parquet(path: Path, columns: list[str], first: int) -> Iterator[pa.Table]:
    """Batches; those of row groups before row `first` without their audio."""
    with pq.ParquetFile(path) as file:
        start = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if start + count <= first:
                yield pa.table({"": pa.nulls(count)})
            else:
                for batch in file.iter_batches(BATCH, [group], columns):
                    yield pa.Table.from_batches([batch])
            start += count


def _arrow(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    with _opened(path) as reader:
        for batch in _batches(reader):
            table = pa.Table.from_batches([batch]).select(columns)
            yield from (table.slice(place, BATCH) for place in range(0, len(table), BATCH))


@contextmanager
def _opened(path: Path) -> Iterator[pa.RecordBatchReader | pa.ipc.RecordBatchFileReader]:
    """A reader of either of Arrow's formats; the bytes are mapped into memory."""
    with pa.memory_map(str(path)) as source:
        try:
            reader = pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            source.seek(0)
            reader = pa.ipc.open_file(source)
        yield reader


def _batches(
    reader: pa.RecordBatchReader | pa.ipc.RecordBatchFileReader,
) -> Iterator[pa.RecordBatch]:
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        return (reader.get_batch(i) for i in range(reader.num_record_batches))
    return iter(reader)
