"""Merging: the parts of all processes become the index and the summary of one data set."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import soundfile
import soxr

from audiotag.data.info import DatasetInfo, SplitInfo
from audiotag.data.prepare.duplicates import DUPLICATE, Duplicates
from audiotag.data.prepare.parts import (
    PARTS_FOLDER,
    Part,
    clip_rows,
    failure_rows,
    finished_parts,
    read_rows,
)
from audiotag.data.prepare.plan import Plan, read_plan
from audiotag.data.shards import (
    DATASET_FILE,
    FAILURES_FILE,
    INDEX_FILE,
    LABELS_FILE,
    REMEDY,
    SCHEMA,
    hash_sorted,
)
from audiotag.errors import DataError
from audiotag.runtime.files import replaced
from audiotag.runtime.version import __version__

ROW_GROUP = 10_000  # rows of the index held at once
KEYS = 65_536  # hashed at once


@dataclass
class _Tally:
    """What is counted while the index is written."""

    clips: int = 0
    seconds: float = 0.0
    labels: set[str] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)


def merge(out: Path) -> Path:
    """Join what the processes wrote; a data set that is finished is left as it is.

    A clip that two processes took stays in the first's shard; the index and `failures.jsonl` say
    that the other's is not one of the data set.

    Raises:
        DataError: If processes have not finished.
        OutputError: If it cannot be written.
    """
    out = Path(out)
    if not (out / DATASET_FILE).exists():
        plan = read_plan(out)
        if plan is None:
            raise DataError(f"{out} holds no shards; make some with audiotag prepare")
        tally = _write_index(out, plan, _all_parts(out, plan))
        labels = sorted(tally.labels) if plan.labels is None else list(plan.labels)
        with replaced(out / LABELS_FILE, REMEDY) as file:
            file.write((json.dumps(labels, indent=1, ensure_ascii=False) + "\n").encode())
        _info(out, plan, tally, len(labels)).write(out)
    shutil.rmtree(out / PARTS_FOLDER, ignore_errors=True)
    return out


def _all_parts(out: Path, plan: Plan) -> list[Part]:
    ranks = [finished_parts(out, rank) for rank in range(plan.num_shards)]
    missing = [rank for rank, parts in enumerate(ranks) if not parts]
    begun = [rank for rank, parts in enumerate(ranks) if parts and parts[-1].next is not None]
    if missing or begun:
        lacks = [f"nothing of {_named(missing)}"] * bool(missing)
        lacks += [f"only a beginning of {_named(begun)}"] * bool(begun)
        raise DataError(
            f"{out} has {' and '.join(lacks)} (of {plan.num_shards}); "
            "run the same command for it again, it goes on where it stopped"
        )
    return [part for parts in ranks for part in parts]


def _named(ranks: list[int]) -> str:
    return f"share{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"


def _write_index(out: Path, plan: Plan, parts: list[Part]) -> _Tally:
    """Write the index and the failures, a part at a time."""
    tally, failures_path = _Tally(), out / FAILURES_FILE
    with replaced(failures_path, REMEDY) as failures, _index_writer(out / INDEX_FILE) as write:
        for rows in _rows(out, plan, parts):
            clips, failed = clip_rows(rows), failure_rows(rows)
            tally.clips += clips.num_rows
            tally.seconds += pc.sum(clips["duration"]).as_py() or 0.0
            tally.labels.update(pc.unique(pc.list_flatten(clips["labels"])).to_pylist())
            tally.failures.update(failed["kind"].to_pylist())
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in failed.to_pylist())
            failures.write("".join(lines).encode())
            write(clips)
    return tally


@contextmanager
def _index_writer(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    """A function that adds rows to the index, in groups of a size that reads well."""
    held: list[pa.Table] = []
    with replaced(path, REMEDY) as file, pq.ParquetWriter(file, SCHEMA) as writer:

        def flush() -> None:
            writer.write_table(pa.concat_tables([SCHEMA.empty_table(), *held]).combine_chunks())
            held.clear()

        def write(table: pa.Table) -> None:
            held.append(table)
            if sum(map(len, held)) >= ROW_GROUP:
                flush()

        yield write
        flush()


def _rows(out: Path, plan: Plan, parts: list[Part]) -> Iterator[pa.Table]:
    """The rows of each part; what another process has taken before becomes a failure."""
    duplicates = Duplicates(plan.keep_duplicates)
    for part in parts:
        rows = read_rows(out, part)
        if plan.num_shards > 1:
            pairs = zip(rows["key"].to_pylist(), rows["sha256"].to_pylist(), strict=True)
            reasons = [key and duplicates.reason(key, sha256) for key, sha256 in pairs]
            rows = _failed(rows, pa.array(reasons, pa.string()))
        yield rows


def _failed(rows: pa.Table, reasons: pa.Array) -> pa.Table:
    """Rows of which those that have a reason are failures."""
    doubled = pc.is_valid(reasons)
    changes = {
        "key": pc.if_else(doubled, None, rows["key"]),
        "reason": pc.coalesce(reasons, rows["reason"]),
        "kind": pc.if_else(doubled, DUPLICATE, rows["kind"]),
    }
    for name, column in changes.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return rows


def _info(out: Path, plan: Plan, tally: _Tally, labels: int) -> DatasetInfo:
    versions = {
        "audiotag": __version__,
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
        "soundfile": soundfile.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
        "soxr": soxr.__version__,
    }
    return DatasetInfo(
        clips=tally.clips,
        hours=tally.seconds / 3600,
        labels=labels,
        sample_rate=plan.sample_rate,
        splits=read_splits(out / INDEX_FILE),
        failures=dict(sorted(tally.failures.items())),
        settings=plan.settings,
        versions=versions,
    )


def read_splits(index: Path) -> dict[str, SplitInfo]:
    """The splits of the clips in an index."""
    table = pq.read_table(index, columns=["key", "split"])
    splits = {}
    for split in sorted(pc.unique(table["split"]).to_pylist()):
        keys = table["key"].filter(pc.equal(table["split"], split))
        keys = keys.take(pc.sort_indices(keys))  # by bytes of UTF-8, which is Python's order too
        pieces = (keys.slice(first, KEYS).to_pylist() for first in range(0, len(keys), KEYS))
        splits[split] = SplitInfo(len(keys), hash_sorted(chain.from_iterable(pieces)))
    return splits
