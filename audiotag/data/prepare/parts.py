"""Parts: the finished pieces of a data set that is being prepared, so that a run can be resumed.

    parts/settings.json         the settings; a run with other settings is refused
    parts/SSSS-NNNNNN.parquet   for the finished shard NNNNNN of share SSSS: its rows of the index,
                                the failures in between, and the source position where it ends

A part is written after its shard: if a part exists, its shard is complete.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audiotag.data.shards import REMEDY, SCHEMA, SHARDS_FOLDER
from audiotag.runtime.files import replaced

PARTS_FOLDER = "parts"
METADATA = b"audiotag"
FAILURE_FIELDS = ("source", "reason", "kind")
PART_SCHEMA = pa.schema([*SCHEMA, *((name, pa.string()) for name in FAILURE_FIELDS)])


@dataclass(frozen=True)
class FinishedPart:
    """A finished part.

    Attributes:
        rank: Number of its share.
        number: Its number among the parts of the share.
        next: Where the next part begins: position in the source, and number of results of that
            recording that are already in this part. None if it is the last part of the share.
        size: Bytes of its shard; 0 if it has no clip, and so no shard.
        clips: Number of its clips.
    """

    rank: int
    number: int
    next: tuple[int, int] | None
    size: int
    clips: int

    @property
    def name(self) -> str:
        """The name of its files without the suffix."""
        return part_name(self.rank, self.number)


def part_name(rank: int, number: int) -> str:
    """The name of a part's files without the suffix."""
    return f"{rank:04d}-{number:06d}"


def shard_path(out: Path, name: str) -> Path:
    """The file of a part's shard."""
    return out / SHARDS_FOLDER / f"{name}.tar"


def write_part(out: Path, part: FinishedPart, rows: Sequence[dict]) -> None:
    """Write a part whose shard is written already.

    Args:
        out: The folder of the data set.
        part: The part.
        rows: For each clip its row of the index and its source; for each failure its fields.

    Raises:
        OutputError: If it cannot be written.
    """
    table = pa.Table.from_pylist(list(rows), PART_SCHEMA)
    table = table.replace_schema_metadata({METADATA: json.dumps(asdict(part)).encode()})
    with replaced(_path(out, part.name), REMEDY) as file:
        pq.write_table(table, file)


def finished_parts(out: Path, rank: int) -> list[FinishedPart]:
    """The parts of a share, from the first to the last one in order whose shard is complete."""
    parts: list[FinishedPart] = []
    for number in count():
        part = _read_part(_path(out, part_name(rank, number)))
        if part is None or (part.size and not _has_size(shard_path(out, part.name), part.size)):
            return parts
        parts.append(part)
        if part.next is None:
            return parts
    raise AssertionError("count() does not end")


def read_rows(out: Path, part: FinishedPart) -> pa.Table:
    """The rows of a part, in `PART_SCHEMA`; failures have no key."""
    return pq.read_table(_path(out, part.name)).replace_schema_metadata(None)


def clip_rows(rows: pa.Table) -> pa.Table:
    """The rows of clips, in the index's `SCHEMA`."""
    return rows.filter(pc.is_valid(rows["key"])).select(SCHEMA.names)


def failure_rows(rows: pa.Table) -> pa.Table:
    """The rows of failures: source, reason, kind."""
    return rows.filter(pc.is_null(rows["key"])).select(FAILURE_FIELDS)


def _path(out: Path, name: str) -> Path:
    return out / PARTS_FOLDER / f"{name}.parquet"


def _read_part(path: Path) -> FinishedPart | None:
    try:
        values = json.loads(pq.read_schema(path).metadata[METADATA])
        following = values.pop("next")
        return FinishedPart(**values, next=None if following is None else tuple(following))
    except (OSError, pa.ArrowException, ValueError, LookupError, TypeError):
        return None  # not written yet, or damaged: it is made again


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
