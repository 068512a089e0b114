"""The files that a data set is made from, in its `sources.parquet`: whether they have changed."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from audiotag.data.recordings import printable
from audiotag.data.shards import DATASET_FILE, REMEDY, SOURCE_FILES
from audiotag.errors import DataError
from audiotag.runtime.files import replaced

SCHEMA = pa.schema([("path", pa.binary()), ("size", pa.int64()), ("time_ns", pa.int64())])
GONE = -1  # size of a file that is not there
NAMED = 3  # changed files in a message


def read_files(paths: Iterable[Path]) -> pa.Table:
    """Size and time of last change of each file, by its path below the folder of all of them."""
    names = list(dict.fromkeys(map(os.path.abspath, paths)))
    top = os.path.commonpath(list(map(os.path.dirname, names))) if names else None
    stated = [_stated(name) for name in names]
    relative = [os.fsencode(os.path.relpath(name, top)) for name in names]
    sizes, times = zip(*stated, strict=True) if stated else ((), ())
    return pa.table([relative, sizes, times], schema=SCHEMA)


def note_files(out: Path, files: pa.Table) -> None:
    """Write down what `read_files` gave, unless it is there already.

    Raises:
        OutputError: If it cannot be written.
    """
    if not (out / SOURCE_FILES).exists():
        write_files(out, files)


def write_files(out: Path, files: pa.Table) -> None:
    """Write down what `read_files` gave.

    Raises:
        OutputError: If it cannot be written.
    """
    with replaced(out / SOURCE_FILES, REMEDY) as file:
        pq.write_table(files, file)


def check_files(out: Path, files: pa.Table, by_time: bool = True) -> None:
    """Refuse files that are not those that a data set was made from, or was begun with.

    Args:
        out: The data set; one of an older version says nothing of its files.
        files: What `read_files` gives now.
        by_time: Whether times are compared too; they differ on several machines.

    Raises:
        DataError: If files have changed; names some.
    """
    path = out / SOURCE_FILES
    if not path.exists():
        return
    try:
        former = _rows(pq.read_table(path, schema=SCHEMA), by_time)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); delete it") from error
    now = _rows(files, by_time)
    if changes := list(_changes(former, now)):
        more = f" and {len(changes) - NAMED:,} more" if len(changes) > NAMED else ""
        is_whole = (out / DATASET_FILE).exists()
        check = ", or see with --check whether they sound as before" if is_whole else ""
        raise DataError(
            f"{out} was made from files that have changed since ({', '.join(changes[:NAMED])}"
            f"{more}); remove it or choose another folder to prepare them anew{check}"
        )


def _changes(former: dict[bytes, tuple], now: dict[bytes, tuple]) -> Iterator[str]:
    for path in dict.fromkeys([*former, *now]):
        old, new = former.get(path, (GONE,)), now.get(path, (GONE,))
        if old != new:
            name = printable(os.fsdecode(path))
            if old[0] == GONE:
                yield f"{name} is new"
            elif new[0] == GONE:
                yield f"{name} is gone"
            elif old[0] != new[0]:
                yield f"{name} had {old[0]:,} bytes, now {new[0]:,}"
            else:
                yield f"{name} was written again"


def _rows(files: pa.Table, by_time: bool) -> dict[bytes, tuple]:
    paths, *values = (files[name].to_pylist() for name in SCHEMA.names)
    return dict(zip(paths, zip(*values[: 1 + by_time], strict=True), strict=True))


def _stated(name: str) -> tuple[int, int]:
    """Size and time of a file."""
    try:
        stat = os.stat(name)
    except (OSError, ValueError):  # missing, or no name for a file
        return GONE, 0
    return stat.st_size, stat.st_mtime_ns
