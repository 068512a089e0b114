"""The index of a prepared data set, `index.parquet`: reading and checking it."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audiotag.data.info import damaged, not_prepared
from audiotag.data.shards import INDEX_FILE, SCHEMA
from audiotag.errors import DataError

OPTIONAL = ("fold", "group")  # columns in which a clip may have no value
ADDED = "group"  # column that data sets of audiotag 0.1 lack
SHARD_NAME = r"^[0-9A-Za-z_-][0-9A-Za-z_.-]*\.tar$"  # a file in the shards' folder, no path
LIMITS = {  # values of a clip
    "offset": (512, 2**50),  # bytes
    "length": (1, 2**31),
    "duration": (1e-6, 1e6),  # s
    "fold": (-(2**31), 2**31),
}
# Errors that pyarrow raises if a file is damaged, or has other columns.
DAMAGE = (OSError, pa.ArrowException, ValueError, LookupError, TypeError, MemoryError)


def read_index(folder: Path, columns: Sequence[str], shard: str | None = None) -> pa.Table:
    """Columns of the index, with checked types.

    Args:
        folder: The data set.
        columns: Their names.
        shard: Rows of this shard only.

    Raises:
        DataError: If there is no index, or it is damaged.
    """
    path = folder / INDEX_FILE
    filters = None if shard is None else [("shard", "=", shard)]
    try:
        there = [x for x in columns if x != ADDED or x in pq.read_schema(path).names]
        return _checked(pq.read_table(path, columns=there, filters=filters), columns)
    except DAMAGE as error:
        raise _unreadable(path, error) from error


def index_batches(folder: Path, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """As `read_index`, in batches of `rows` rows."""
    path = folder / INDEX_FILE
    try:
        with pq.ParquetFile(path) as index:
            for batch in index.iter_batches(rows, columns=list(columns)):
                yield _checked(pa.Table.from_batches([batch]), columns)
    except DAMAGE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return not_prepared(path.parent, error)
    return damaged(path, str(error).partition("\n")[0][:200])


def _checked(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """The table in the index's types.

    Raises:
        ValueError, pyarrow.ArrowException: If it has other types, or values that no clip has.
    """
    if ADDED in columns and ADDED not in table.column_names:
        table = table.append_column(SCHEMA.field(ADDED), pa.nulls(len(table), pa.string()))
    table = table.select(columns).cast(pa.schema([SCHEMA.field(name) for name in columns]))
    table.validate(full=True)
    for name in columns:
        column = table[name]
        if column.null_count and name not in OPTIONAL:
            raise ValueError(f"{column.null_count:,} clips have no {name}")
        if name in LIMITS and not _is_within(column.drop_null(), *LIMITS[name]):
            raise ValueError(f"a {name} is out of range")
    if "labels" in columns and pc.list_flatten(table["labels"]).null_count:
        raise ValueError("a clip has a label without a name")
    if "shard" in columns:
        _check_shards(table["shard"])
    return table


def _is_within(values: pa.ChunkedArray, low: float, high: float) -> bool:
    """Whether all values lie between the limits; NaN does not."""
    inside = pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))
    return bool(pc.all(inside, min_count=0).as_py())


def _check_shards(names: pa.ChunkedArray) -> None:
    for name in pc.unique(names).to_pylist():
        if not re.match(SHARD_NAME, name):
            raise ValueError(f"{ascii(name)[:80]} is not the name of a shard")
