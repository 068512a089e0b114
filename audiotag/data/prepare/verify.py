"""Verifying that every clip of a prepared data set is on the disk as it was written."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from audiotag.data.encoding import ENCODINGS
from audiotag.data.index import DAMAGE, read_index
from audiotag.data.info import read_info
from audiotag.data.prepare.merge import read_splits
from audiotag.data.prepare.parts import (
    FinishedPart,
    clip_rows,
    finished_parts,
    read_rows,
    shard_path,
)
from audiotag.data.prepare.plan import read_plan
from audiotag.data.shards import (
    DATASET_FILE,
    INDEX_FILE,
    SHARDS_FOLDER,
    TAR_BLOCK,
    TAR_END,
    padded,
    read_header,
)
from audiotag.errors import DataError
from audiotag.runtime.json_text import parse_json
from audiotag.runtime.ordered_threads import work_ahead

COLUMNS = ["key", "offset", "length", "sha256", "labels"]
ABOUT_BYTES = 2**24  # of a clip's json, at most
Shard = tuple[Path, Callable[[], pa.Table]]  # the tar file, and a function that reads its rows


@dataclass(frozen=True)
class Damage:
    """A file, or a clip in it, that is not as it was written, with the problem."""

    file: str
    key: str | None
    reason: str


@dataclass(frozen=True)
class Checked:
    """A checked file, the number of clips that it should have, and the damage in it."""

    file: str
    clips: int
    damages: tuple[Damage, ...]


def verify(folder: Path, workers: int | None = None, rank: int | None = None) -> Iterator[Checked]:
    """Compare every clip with its sha256 in the index, and its json with its row, and check that
    the shards end as tar files do.

    If the data set is not finished, its finished shards are checked.

    Args:
        folder: The data set.
        workers: Shards read at once; one a core if None.
        rank: The share to check, if the data set is not finished; all if None.

    Yields:
        The result for the index, if the data set is finished; then that for each shard.

    Raises:
        DataError: If the folder is not a data set, or its index cannot be read.
    """
    folder = Path(folder)
    shards = _unfinished_shards(folder, rank)
    try:
        if shards is None:
            yield _check_summary(folder)
            shards = _finished_shards(folder)
        yield from work_ahead(_check_shard, shards, workers or os.cpu_count() or 1)
    except DAMAGE as error:
        raise DataError(
            f"{folder} is not a prepared data set, or its index is damaged: {error}"
        ) from error


def _unfinished_shards(folder: Path, rank: int | None) -> list[Shard] | None:
    """The shards of a data set that is not finished, and functions that read their rows; None if it
    is finished."""
    plan = None if (folder / DATASET_FILE).exists() else read_plan(folder)
    if plan is None:
        return None
    ranks = range(plan.num_shards) if rank is None else [rank]
    parts = [part for one in ranks for part in finished_parts(folder, one)]
    return [
        (shard_path(folder, part.name), partial(_part_rows, folder, part))
        for part in parts
        if part.clips
    ]


def _finished_shards(folder: Path) -> list[Shard]:
    names = pc.unique(read_index(folder, ["shard"])["shard"]).to_pylist()
    return [(folder / SHARDS_FOLDER / name, partial(_index_rows, folder, name)) for name in names]


def _part_rows(folder: Path, part: FinishedPart) -> pa.Table:
    return clip_rows(read_rows(folder, part))


def _index_rows(folder: Path, shard: str) -> pa.Table:
    return read_index(folder, COLUMNS, shard)


def _check_summary(folder: Path) -> Checked:
    """Check that the index has the clips that `dataset.json` states."""
    found = read_splits(folder)
    try:
        expected = read_info(folder).splits
    except DataError as error:
        return Checked(DATASET_FILE, 0, (Damage(DATASET_FILE, None, str(error)),))
    wrong = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    damages = (
        Damage(INDEX_FILE, None, f"has other clips in split {name} than {DATASET_FILE} says")
        for name in wrong
    )
    return Checked(INDEX_FILE, 0, tuple(damages))


def _check_shard(shard: Shard) -> Iterator[Checked]:
    path, load = shard
    rows = load().sort_by("offset").to_pylist()
    try:
        with path.open("rb", buffering=0) as file:
            damages = [*_damaged_clips(file, path.name, rows), *_damaged_end(file, path.name)]
    except OSError as error:
        damages = [Damage(path.name, None, f"cannot be read ({error.strerror})")]
    yield Checked(path.name, len(rows), tuple(damages))


def _damaged_clips(file: BinaryIO, name: str, rows: list[dict]) -> Iterator[Damage]:
    for row in rows:
        reason = _sound_problem(file, row) or _json_problem(file, row)
        if reason:
            yield Damage(name, row["key"], reason)


def _damaged_end(file: BinaryIO, name: str) -> Iterator[Damage]:
    size = os.fstat(file.fileno()).st_size
    end = os.pread(file.fileno(), len(TAR_END), max(0, size - len(TAR_END)))
    if end != TAR_END or size % TAR_BLOCK:
        yield Damage(name, None, "does not end as a tar file does: it was cut off or written over")


def _sound_problem(file: BinaryIO, row: dict) -> str | None:
    member = read_header(file, row["offset"] - TAR_BLOCK)
    names = [f"{row['key']}.{encoding}" for encoding in ENCODINGS]
    if member is None or member.name not in names or member.size != row["length"]:
        return "its place in the tar file is damaged"
    data = os.pread(file.fileno(), row["length"], row["offset"])
    if len(data) < row["length"]:
        return f"{len(data)} of {row['length']} bytes are there"
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        return "its bytes are not those that were written (sha256)"
    return None


def _json_problem(file: BinaryIO, row: dict) -> str | None:
    place = row["offset"] + padded(row["length"])
    member = read_header(file, place)
    if member is None or member.name != f"{row['key']}.json":
        return "its json is missing"
    size = min(member.size, ABOUT_BYTES)
    try:
        about = parse_json(os.pread(file.fileno(), size, place + TAR_BLOCK))
        # The index may have more labels: those of later duplicates.
        same = about["key"] == row["key"] and set(about["labels"]) <= set(row["labels"])
    except (ValueError, KeyError, TypeError):
        same = False
    return None if same else "its json is damaged"
