"""AudioSet as parquet files, in the layout of the Hub data set agkphysics/AudioSet.

`bal_train/NN.parquet`, `unbal_train/NN.parquet`, `eval/NN.parquet`; columns video_id, audio (bytes
and path) and labels (mids). The files say nothing of the times in the videos.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audiotag.data.recordings import BytesAudio, Failure, Recording

FOLDERS = {"bal_train": "balanced", "unbal_train": "unbalanced", "eval": "eval"}  # to subset
BATCH = 16  # rows held at once; their audio takes up to some 20 MB
DAMAGE = (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError)


@dataclass(frozen=True)
class _File:
    """A parquet file.

    Attributes:
        path: Where it is.
        name: What messages call it.
        split: Of its clips.
        rows: Numbers of the rows that are taken; nothing if it cannot be opened.
    """

    path: Path
    name: str
    split: str
    rows: np.ndarray | None

    def __len__(self) -> int:
        return 1 if self.rows is None else len(self.rows)


class ParquetSource:
    """Clips of parquet files, read a few at a time.

    What cannot be read costs the clips that it holds, each of them a failure; a file that cannot be
    opened is one failure.

    Args:
        folder: That the files are below.
        splits: Split of each file, by its path below the folder, in order.
        names: Label name of each mid.
        wanted: Only clips that have one of these mids; all if none.
    """

    def __init__(
        self,
        folder: Path,
        splits: Mapping[str, str],
        names: Mapping[str, str],
        wanted: Collection[str] = (),
    ) -> None:
        self.labels: tuple[str, ...] | None = tuple(names.values())
        self._names = names
        self._files = [
            _File(folder / name, name, split, _rows(folder / name, wanted))
            for name, split in splits.items()
        ]
        known = [(x.name, x.split, len(x), x.path.stat().st_size) for x in self._files]
        self.fingerprint = hashlib.sha256(repr((known, sorted(wanted))).encode()).hexdigest()

    def __len__(self) -> int:
        return sum(map(len, self._files))

    def recordings(self, first: int, last: int) -> Iterator[Recording | Failure]:
        """As `Source.recordings`; files before the first recording are not opened."""
        position = 0
        for file in self._files:
            begin, end = max(first - position, 0), min(last - position, len(file))
            if begin < end:
                yield from self._of_file(file, begin, end)
            position += len(file)

    def _of_file(self, file: _File, begin: int, end: int) -> Iterator[Recording | Failure]:
        if file.rows is None:
            yield Failure(file.name, "cannot be opened as parquet; get it anew")
            return
        rows = file.rows[begin:end]
        with pq.ParquetFile(file.path) as parquet:
            start = 0
            for group in range(parquet.num_row_groups):
                stop = start + parquet.metadata.row_group(group).num_rows
                inside = rows[(rows >= start) & (rows < stop)]
                if len(inside):
                    yield from self._of_group(file, parquet, group, inside, start)
                start = stop

    def _of_group(
        self, file: _File, parquet: pq.ParquetFile, group: int, rows: np.ndarray, start: int
    ) -> Iterator[Recording | Failure]:
        """Rows of a row group, which begins with row `start`."""
        done = 0
        try:
            for batch in parquet.iter_batches(BATCH, [group], ["video_id", "audio", "labels"]):
                inside = rows[(rows >= start) & (rows < start + len(batch))]
                for row in batch.take(pa.array(inside - start)).to_pylist():
                    yield self._recording(file, row)
                done += len(inside)
                start += len(batch)
        except DAMAGE as error:
            for row in rows[done:].tolist():
                yield Failure(f"{file.name}, row {row}", f"cannot be read ({error})")

    def _recording(self, file: _File, row: Mapping) -> Recording | Failure:
        unknown = [mid for mid in row["labels"] if mid not in self._names]
        if unknown:
            reason = f"{' and '.join(unknown)} is not of the 527 classes"
            return Failure(row["video_id"], reason, "class")
        labels = tuple(self._names[mid] for mid in row["labels"])
        audio = BytesAudio(row["audio"]["bytes"] or b"")
        return Recording(
            f"{file.name}/{row['video_id']}", audio, labels, file.split, key=row["video_id"]
        )


def find_parquet(folder: Path) -> dict[str, str]:
    """Subset of each parquet file below a folder, by its path below the folder, in order."""
    return {
        path.relative_to(folder).as_posix(): FOLDERS[path.parent.name]
        for path in sorted(folder.rglob("*.parquet"))
        if path.parent.name in FOLDERS
    }


def _rows(path: Path, wanted: Collection[str]) -> np.ndarray | None:
    """Numbers of the rows that have a wanted mid, all if none is; nothing where it is damaged."""
    try:
        with pq.ParquetFile(path) as parquet:
            if not wanted:
                return np.arange(parquet.metadata.num_rows)
            labels = pq.read_table(path, columns=["labels"])["labels"].combine_chunks()
    except DAMAGE:
        return None
    has_one = pc.is_in(pc.list_flatten(labels), pa.array(sorted(wanted)))
    return np.unique(pc.list_parent_indices(labels).to_numpy()[has_one.to_numpy(False)])
