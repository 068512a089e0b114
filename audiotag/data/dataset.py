"""Reading a prepared data set: any clip by its index, from many threads or processes."""

import hashlib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audiotag.data.encoding import DecodingError, decode
from audiotag.data.index import read_index
from audiotag.data.info import read_info, read_names
from audiotag.data.shards import FAILURES_FILE, hash_sorted
from audiotag.data.targets import Targets
from audiotag.errors import DataError
from audiotag.label_set import Labels, is_negative

COLUMNS = [
    "key",
    "shard",
    "offset",
    "length",
    "duration",
    "split",
    "fold",
    "group",
    "labels",
    "sha256",
]
PIECE = re.compile(r"(\d{8})_\d{4}_(.*)")  # key of a piece of a recording: its number, its name
SOUND_DIGITS = 16  # of a clip's sha256: enough to tell it from all others
OPEN_SHARDS = 256  # files held open at once; systems allow a process 1024


class ClipDataset:
    """Clips of a prepared data set, selected by split, fold and share.

    Args:
        folder: A prepared data set.
        split: Only clips of this split.
        fold: Only clips of this fold.
        without_fold: Only clips that are not of this fold.
        share: First and end of a range of numbers from 0 to 99: only clips of groups whose number,
            a hash of their name, lies in it.

    Attributes:
        keys: Key of each clip, (N,).
        durations: Seconds of each clip, (N,).
        lengths: Samples of each clip, (N,).
        sizes: Bytes of each clip as stored, (N,).
        folds: Fold of each clip, (N,); -1 for none.
        sample_rate: Hz.

    Raises:
        DataError: If the folder is not a prepared data set or has no such clips.
    """

    def __init__(
        self,
        folder: Path,
        split: str | None = None,
        fold: int | None = None,
        without_fold: int | None = None,
        share: Sequence[int] | None = None,
    ) -> None:
        self.folder = Path(folder)
        index = read_index(self.folder, COLUMNS)
        if split is not None:
            index = index.filter(_among(index, "split", split, folder))
        if fold is not None:
            index = index.filter(_among(index, "fold", fold, folder))
        if without_fold is not None:
            index = index.filter(pc.invert(_among(index, "fold", without_fold, folder)))
        if share is not None:
            names = _groups(index["key"].to_pylist(), index["group"])
            numbers = [_hash_number(name) for name in names]
            index = index.filter(pa.array([share[0] <= x < share[1] for x in numbers], pa.bool_()))
        if not len(index):
            raise DataError(f"{folder} has no such clips; {FAILURES_FILE} says what was left out")
        self.sample_rate = read_info(self.folder).sample_rate
        self.keys = np.array(index["key"], dtype=np.dtypes.StringDType())
        self.durations = index["duration"].to_numpy()
        self.folds = pc.fill_null(index["fold"], -1).to_numpy()
        self.lengths = np.rint(self.durations * self.sample_rate).astype(np.int64)
        labels = index["labels"].combine_chunks()
        self._label_clips = pc.list_parent_indices(labels).to_numpy().astype(np.int32)
        self._label_names, self._label_numbers = _numbered(pc.list_flatten(labels))
        self._shards, self._shard = _numbered(index["shard"].combine_chunks())
        self._offsets, self.sizes = index["offset"].to_numpy(), index["length"].to_numpy()
        self._groups = index["group"].combine_chunks()
        self._sounds = pc.utf8_slice_codeunits(index["sha256"], 0, SOUND_DIGITS).combine_chunks()
        self._files: dict[int, io.FileIO] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def groups(self) -> list[str]:
        """The group of each clip, N names: its recording, unless the source tells groups."""
        return _groups(self.keys.tolist(), self._groups)

    def __getstate__(self) -> dict[str, Any]:
        """The state that is sent to another process: everything except the open files."""
        return self.__dict__ | {"_files": {}}

    def read(self, index: int, first: int = 0, last: int | None = None) -> np.ndarray:
        """Samples (T,) int16 of a clip, or of its part from `first` to before `last`.

        Raises:
            DataError: If its bytes are missing or damaged.
        """
        length = int(self.lengths[index])
        try:
            return decode(self._bytes(index), length, first, length if last is None else last)
        except (OSError, DecodingError) as error:
            raise self._damaged(index, str(error)) from error

    def targets(self, labels: Labels) -> Targets:
        """Which of `labels` each clip has.

        A name in `label_set.NEGATIVES` that is not one of them means that a clip has no label.

        Raises:
            DataError: If a clip has a label that is not one of them.
        """
        known = {name: column for column, name in enumerate(labels.names)}
        for name in self._label_names:
            if name not in known and not is_negative(name):
                raise DataError(
                    f"{self.folder}: label {name!r} is not one of the model's; audiotag finetune "
                    "teaches it the labels of a data set"
                )
        columns = np.array([known.get(name, -1) for name in self._label_names], dtype=np.int64)
        columns = columns[self._label_numbers]
        is_label = columns >= 0
        shape = len(self), len(labels)
        return Targets(self._label_clips[is_label], columns[is_label], shape)

    @property
    def sounds(self) -> list[str]:
        """A hash of what each clip sounds like, (N,): of its bytes as stored."""
        return self._sounds.to_pylist()

    @property
    def hashes(self) -> list[str]:
        """A hash of each clip, (N,): of its key, its sound and its labels."""
        labels: list[list[str]] = [[] for _ in range(len(self))]
        for clip, number in zip(self._label_clips, self._label_numbers, strict=True):
            labels[clip].append(self._label_names[number])
        clips = zip(self.keys.tolist(), self.sounds, labels, strict=True)
        return [hash_sorted((key, sound, *sorted(names))) for key, sound, names in clips]

    def _bytes(self, index: int) -> bytes:
        file = self._open(int(self._shard[index]))
        return os.pread(file.fileno(), int(self.sizes[index]), int(self._offsets[index]))

    def _open(self, shard: int) -> io.FileIO:
        """The file of a shard, for any thread. A dropped file is closed when no thread uses it."""
        file = self._files.get(shard)
        if file is None:
            if len(self._files) >= OPEN_SHARDS:
                self._files.popitem()  # any: clips are read in random order
            path = self.folder / "shards" / self._shards[shard]
            file = self._files[shard] = open(path, "rb", buffering=0)
        return file

    def _damaged(self, index: int, reason: str) -> DataError:
        path = self.folder / "shards" / self._shards[self._shard[index]]
        return DataError(
            f"{path}: clip {self.keys[index]} is missing or damaged ({reason}); "
            "prepare the data set again"
        )


def recording_of(key: str) -> str:
    """The common part of the keys of all clips of one recording."""
    match = PIECE.match(key)
    return key if match is None else f"{match[1]}_{match[2]}"


def read_labels(folder: Path) -> Labels:
    """The labels of a prepared data set, in order.

    Raises:
        DataError: If the folder is not a prepared data set.
    """
    return Labels(read_names(Path(folder)))


def read_folds(folder: Path) -> list[int]:
    """The folds of a prepared data set, in rising order; empty if it has none.

    Raises:
        DataError: If the folder is not a prepared data set.
    """
    return sorted(pc.unique(read_index(Path(folder), ["fold"])["fold"].drop_null()).to_pylist())


def _groups(keys: list[str], groups: pa.Array | pa.ChunkedArray) -> list[str]:
    pairs = zip(keys, groups.to_pylist(), strict=True)
    return [group or recording_of(key) for key, group in pairs]


def _hash_number(name: str) -> int:
    """A number from 0 to 99, the same on every machine."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100


def read_splits(folder: Path) -> list[str]:
    """The splits of a prepared data set, sorted.

    Raises:
        DataError: If the folder is not a prepared data set.
    """
    return sorted(pc.unique(read_index(Path(folder), ["split"])["split"].drop_null()).to_pylist())


def _numbered(names: pa.Array) -> tuple[list[str], np.ndarray]:
    """The distinct names, and for each name its position among them."""
    encoded = names.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy()


def _among(index: pa.Table, column: str, value: str | int, folder: Path) -> pa.ChunkedArray:
    """Which rows have the value.

    Raises:
        DataError: If none has.
    """
    rows = pc.fill_null(pc.equal(index[column], value), False)
    if not pc.any(rows).as_py():
        known = sorted(pc.unique(index[column].drop_null()).to_pylist())
        there = f"it has {', '.join(map(str, known))}" if known else f"its clips have no {column}"
        raise DataError(f"{folder} has no {column} {value!r}; {there}")
    return rows
