"""Merging: the parts of all shares become one data set, with its index."""

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

from audiotag.data.index import read_index
from audiotag.data.info import DatasetInfo, SplitInfo
from audiotag.data.prepare.duplicates import DUPLICATE, Duplicates
from audiotag.data.prepare.parts import (
    PARTS_FOLDER,
    FinishedPart,
    clip_rows,
    failure_rows,
    finished_parts,
    read_rows,
)
from audiotag.data.prepare.plan import PreparationPlan, read_plan
from audiotag.data.prepare.shared_labels import SharedLabels
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
    """The counts that are made while the index is written."""

    clips: int = 0
    seconds: float = 0.0
    labels: set[str] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)


def merge(out: Path) -> Path:
    """Join the shares of a data set; a finished data set is not changed.

    If a clip is in two shares, the index has the first one; `failures.jsonl` lists the other, which
    stays in its shard.

    Raises:
        DataError: If a share is missing or not finished.
        OutputError: If it cannot be written.
    """
    out = Path(out)
    if not (out / DATASET_FILE).exists():
        plan = read_plan(out)
        if plan is None:
            raise DataError(f"{out} holds no shards; make them with audiotag prepare")
        tally = _write_index(out, plan, _all_parts(out, plan))
        labels = sorted(tally.labels) if plan.labels is None else list(plan.labels)
        with replaced(out / LABELS_FILE, REMEDY) as file:
            file.write((json.dumps(labels, indent=1, ensure_ascii=False) + "\n").encode())
        _info(out, plan, tally, len(labels)).write(out)
    shutil.rmtree(out / PARTS_FOLDER, ignore_errors=True)
    return out


def _all_parts(out: Path, plan: PreparationPlan) -> list[FinishedPart]:
    shares = [finished_parts(out, share) for share in range(plan.num_shards)]
    missing = [share for share, parts in enumerate(shares) if not parts]
    started = [share for share, parts in enumerate(shares) if parts and parts[-1].next is not None]
    if missing or started:
        lacks = [f"nothing of {_named(missing)}"] * bool(missing)
        lacks += [f"only a beginning of {_named(started)}"] * bool(started)
        raise DataError(
            f"{out} has {' and '.join(lacks)} (of {plan.num_shards}); run the same command for it "
            "again: it resumes where it stopped"
        )
    return [part for parts in shares for part in parts]


def _named(shares: list[int]) -> str:
    return f"share{'s' * (len(shares) > 1)} {', '.join(map(str, shares))}"


def _write_index(out: Path, plan: PreparationPlan, parts: list[FinishedPart]) -> _Tally:
    """Write the index and the failures, a part at a time."""
    tally, failures_path = _Tally(), out / FAILURES_FILE
    shared = SharedLabels(_rows(out, plan, parts))
    with replaced(failures_path, REMEDY) as failures, _index_writer(out / INDEX_FILE) as write:
        for rows in map(shared.settle, _rows(out, plan, parts)):
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
    """A context that yields a function to add rows to the index, in groups that read fast."""
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


def _rows(out: Path, plan: PreparationPlan, parts: list[FinishedPart]) -> Iterator[pa.Table]:
    """The rows of each part; a clip that is also in an earlier share becomes a failure."""
    duplicates = Duplicates(plan.keep_duplicates)
    for part in parts:
        rows = read_rows(out, part)
        if plan.num_shards > 1:
            pairs = zip(rows["key"].to_pylist(), rows["sha256"].to_pylist(), strict=True)
            reasons = [key and duplicates.reason(key, sha256) for key, sha256 in pairs]
            rows = _failed(rows, pa.array(reasons, pa.string()))
        yield rows


def _failed(rows: pa.Table, reasons: pa.Array) -> pa.Table:
    """The rows; those with a reason become failures."""
    failed = pc.is_valid(reasons)
    changes = {
        "key": pc.if_else(failed, None, rows["key"]),
        "reason": pc.coalesce(reasons, rows["reason"]),
        "kind": pc.if_else(failed, DUPLICATE, rows["kind"]),
    }
    for name, column in changes.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return rows


def _info(out: Path, plan: PreparationPlan, tally: _Tally, labels: int) -> DatasetInfo:
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
        splits=read_splits(out),
        failures=dict(sorted(tally.failures.items())),
        settings=plan.settings,
        versions=versions,
    )


def why_empty(out: Path) -> str:
    """Why a data set has no clips: what was left out, the first with its reason."""
    with (out / FAILURES_FILE).open(encoding="utf-8") as file:
        first = json.loads(file.readline() or "null")
    if first is None:
        return "the source has no recordings; check what was given"
    return (
        f"all that the source has was left out, {first['source']} first ({first['reason']}); put "
        f"that right, remove {out} and prepare it again"
    )


def read_splits(folder: Path) -> dict[str, SplitInfo]:
    """The splits of the clips in the index of a data set.

    Raises:
        DataError: If it is damaged.
    """
    table = read_index(folder, ["key", "split"])
    splits = {}
    for split in sorted(pc.unique(table["split"]).to_pylist()):
        keys = table["key"].filter(pc.equal(table["split"], split))
        keys = keys.take(pc.sort_indices(keys))  # by bytes of UTF-8, the same order as Python's
        pieces = (keys.slice(first, KEYS).to_pylist() for first in range(0, len(keys), KEYS))
        splits[split] = SplitInfo(len(keys), hash_sorted(chain.from_iterable(pieces)))
    return splits
