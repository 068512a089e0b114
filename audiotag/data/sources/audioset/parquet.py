"""AudioSet in parquet files, in the layout of the Hub data set agkphysics/AudioSet.

`bal_train/NN.parquet`, `unbal_train/NN.parquet`, `eval/NN.parquet`, or any other folders; columns
video_id, audio (bytes and path) and labels (mids). The files do not say when in its video a clip
begins.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audiotag.data.recordings import BytesAudio, Failure, Recording, printable
from audiotag.data.sources.archives import Archive, FoundRows, NoClipsError

SUFFIXES = (".parquet",)
COLUMNS = ("video_id", "audio", "labels")
BATCH = 16  # rows in memory at once; their audio takes up to some 20 MB
# Errors that pyarrow raises if a file is damaged, or has columns of other types.
DAMAGE = (OSError, pa.ArrowException, ValueError, LookupError, TypeError, MemoryError)


@dataclass(frozen=True)
class ParquetLayout:
    """As `archives.ArchiveLayout`, of clips that have one of the wanted mids.

    Attributes:
        names: Label name of each mid, in order.
        wanted: Mids; all if empty.
    """

    names: Mapping[str, str]
    wanted: Collection[str]

    @property
    def labels(self) -> tuple[str, ...]:
        """As `ArchiveLayout.labels`."""
        return tuple(self.names.values())

    @property
    def chosen(self) -> list[str]:
        """As `ArchiveLayout.chosen`."""
        return sorted(self.wanted)

    def rows(self, path: Path) -> FoundRows | None:
        """As `ArchiveLayout.rows`."""
        try:
            with pq.ParquetFile(path) as parquet:
                missing = [name for name in COLUMNS if name not in parquet.schema_arrow.names]
                if missing:
                    raise NoClipsError(
                        f"has no column {' and no column '.join(missing)}, as AudioSet's files do; "
                        "other data sets of the Hub are for prepare hub"
                    )
                if not self.wanted:
                    return FoundRows(np.arange(parquet.metadata.num_rows))
                labels = parquet.read(columns=["labels"])["labels"].combine_chunks()
            has_one = pc.is_in(pc.list_flatten(labels), pa.array(sorted(self.wanted)))
            rows = np.unique(pc.list_parent_indices(labels).to_numpy()[has_one.to_numpy(False)])
            return FoundRows(rows)
        except DAMAGE:
            return None

    def read(self, archive: Archive, rows: np.ndarray) -> Iterator[Recording | Failure]:
        """As `ArchiveLayout.read`."""
        start = 0
        try:
            with pq.ParquetFile(archive.path) as parquet:
                for group in range(parquet.num_row_groups):
                    stop = start + parquet.metadata.row_group(group).num_rows
                    inside = rows[(rows >= start) & (rows < stop)]
                    if len(inside):
                        yield from self._of_group(archive, parquet, group, inside, start)
                    start = stop
        except DAMAGE as error:  # damage of the file as a whole, after it was opened
            yield from _failures(archive, rows[rows >= start], error)

    def _of_group(
        self, archive: Archive, parquet: pq.ParquetFile, group: int, rows: np.ndarray, start: int
    ) -> Iterator[Recording | Failure]:
        """The clips of some rows of a row group, whose first row is number `start`."""
        done = 0
        try:
            for batch in parquet.iter_batches(BATCH, [group], list(COLUMNS)):
                inside = rows[(rows >= start) & (rows < start + len(batch))]
                for row in batch.take(pa.array(inside - start)).to_pylist():
                    yield self._recording(archive, row)
                done += len(inside)
                start += len(batch)
        except DAMAGE as error:
            yield from _failures(archive, rows[done:], error)

    def _recording(self, archive: Archive, row: Mapping[str, Any]) -> Recording | Failure:
        missing = [name for name, value in row.items() if value is None or value == ""]
        if missing:
            name = printable(f"{archive.name}/{row['video_id'] or 'a clip without a name'}")
            return Failure(name, f"has no {' and no '.join(missing)}")
        unknown = [mid for mid in row["labels"] if mid not in self.names]
        if unknown:
            reason = f"{printable(' and '.join(map(str, unknown)))[:80]} is not of the 527 classes"
            return Failure(row["video_id"], reason, "class")
        labels = tuple(self.names[mid] for mid in row["labels"])
        audio = BytesAudio(row["audio"].get("bytes") or b"")
        return Recording(
            f"{archive.name}/{row['video_id']}", audio, labels, archive.split, key=row["video_id"]
        )


def _failures(archive: Archive, rows: np.ndarray, error: Exception) -> Iterator[Failure]:
    for row in rows.tolist():
        yield Failure(f"{archive.name}, row {row}", f"cannot be read ({error})")
