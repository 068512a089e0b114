"""Reading a prepared data set: any clip by its index, from many threads or processes."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import soundfile

from audiotag.data.shards import DATASET_FILE, INDEX_FILE, LABELS_FILE
from audiotag.errors import DataError
from audiotag.labels import Labels


class ClipDataset:
    """The clips of one split of a prepared data set.

    Args:
        folder: What `audiotag prepare` wrote.
        split: Name of the split.

    Attributes:
        keys: Name of each clip.
        durations: Seconds of each clip (N,).
        clip_labels: Label names of each clip.

    Raises:
        DataError: If the folder is not a prepared data set or has no such split.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = Path(folder)
        index = _read_index(self.folder)
        splits = sorted(set(index["split"].to_pylist()))
        if split not in splits:
            raise DataError(f"{folder} has no split {split!r}; it has {', '.join(splits)}")
        index = index.filter(pc.equal(index["split"], split))
        self.keys: list[str] = index["key"].to_pylist()
        self.durations = index["duration"].to_numpy()
        self.clip_labels: list[list[str]] = index["labels"].to_pylist()
        self.sample_rate: int = _read_json(self.folder / DATASET_FILE)["sample_rate"]
        self._shards: list[str] = index["shard"].to_pylist()
        self._offsets, self._lengths = index["offset"].to_pylist(), index["length"].to_pylist()
        self._files: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> np.ndarray:
        """Samples (T,), 16-bit integers, of a clip.

        Raises:
            DataError: If its bytes are damaged.
        """
        shard = self._shards[index]
        if shard not in self._files:
            self._files[shard] = os.open(self.folder / "shards" / shard, os.O_RDONLY)
        data = os.pread(self._files[shard], self._lengths[index], self._offsets[index])
        try:
            samples, _ = soundfile.read(io.BytesIO(data), dtype="int16")
        except soundfile.LibsndfileError as error:
            raise DataError(
                f"{self.folder / 'shards' / shard}: clip {self.keys[index]} is damaged ({error}); "
                "prepare the data set again"
            ) from error
        return samples

    def targets(self, labels: Labels) -> np.ndarray:
        """Which of `labels` each clip has, (N, classes), 0 or 1.

        Raises:
            DataError: If a clip has a label that is not one of them.
        """
        targets = np.zeros((len(self), len(labels)), dtype=np.float32)
        for row, names in enumerate(self.clip_labels):
            for name in names:
                if name not in labels.names:
                    raise DataError(f"{self.folder}: label {name!r} is not one of the model's")
                targets[row, labels.index(name)] = 1
        return targets


def read_labels(folder: Path) -> Labels:
    """The labels of a prepared data set, in order.

    Raises:
        DataError: If the folder is not a prepared data set.
    """
    return Labels(_read_json(Path(folder) / LABELS_FILE))


def _read_index(folder: Path) -> pa.Table:
    try:
        return pq.read_table(folder / INDEX_FILE)
    except (OSError, pa.ArrowInvalid) as error:
        raise _not_prepared(folder, error) from error


def _read_json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _not_prepared(path.parent, error) from error


def _not_prepared(folder: Path, error: Exception) -> DataError:
    return DataError(
        f"{folder} is not a prepared data set ({error}); make one with audiotag prepare"
    )
