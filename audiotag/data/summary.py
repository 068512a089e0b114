"""The figures of a prepared data set, counted from its index."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audiotag.data.index import index_batches
from audiotag.data.info import SplitInfo, damaged, read_info, read_names
from audiotag.data.shards import INDEX_FILE, LABELS_FILE
from audiotag.errors import DataError

ROWS = 65_536  # of the index, held at once
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
TOP_PAIRS = 10
COLUMNS = ("duration", "split", "fold", "labels")


@dataclass(frozen=True)
class PartSummary:
    """A split, or a fold.

    Attributes:
        name: Name of the split, or number of the fold.
        clips: Number of clips.
        hours: Their total length.
        keys: Hash of the clips' keys; None for a fold.
    """

    name: str
    clips: int
    hours: float
    keys: str | None


@dataclass(frozen=True)
class LabelCount:
    """A label, and how many clips have it."""

    name: str
    clips: int


@dataclass(frozen=True)
class LabelPair:
    """Two labels, and how many clips have both."""

    first: str
    second: str
    clips: int


@dataclass(frozen=True)
class DataSummary:
    """A prepared data set in figures.

    Attributes:
        name: Name of its folder.
        clips: Number of clips.
        hours: Their total length.
        sample_rate: Hz.
        durations: Seconds of the shortest clip, the 5th, 50th and 95th percentile, the longest.
        labels: Every label of the set, the most frequent first.
        unlabelled: Clips without a label.
        labels_per_clip: Mean number of labels of a clip.
        splits: The splits, by name.
        folds: The folds, by number; without the clips that have none.
        pairs: The most frequent pairs of labels.
        failures: Number of clips and recordings left out, by kind.
    """

    name: str
    clips: int
    hours: float
    sample_rate: int
    durations: tuple[float, ...]
    labels: tuple[LabelCount, ...]
    unlabelled: int
    labels_per_clip: float
    splits: tuple[PartSummary, ...]
    folds: tuple[PartSummary, ...]
    pairs: tuple[LabelPair, ...]
    failures: dict[str, int]


class _Counts:
    """The counts that are made while the index is read; labels are numbered."""

    def __init__(self, names: list[str]) -> None:
        self.names = pa.array(names, pa.string())
        self.labels = np.zeros(len(names), np.int64)
        self.pairs: Counter[int] = Counter()
        self.durations: list[np.ndarray] = []
        self.unlabelled = 0
        self.splits: Counter[str] = Counter()
        self.folds: Counter[int] = Counter()
        self.seconds: Counter[str | int] = Counter()  # of splits by name, of folds by number

    def add(self, rows: pa.RecordBatch) -> None:
        """Add rows of the index to the counts."""
        durations = rows["duration"].to_numpy()
        self.durations.append(durations)
        self._add_parts(rows["split"], durations, self.splits)
        self._add_parts(rows["fold"], durations, self.folds)
        labels = rows["labels"]
        sizes = pc.list_value_length(labels).to_numpy()
        numbers = pc.index_in(pc.list_flatten(labels), self.names).to_numpy()
        self.unlabelled += int((sizes == 0).sum())
        self.labels += np.bincount(numbers, minlength=len(self.labels))
        starts = np.cumsum(sizes) - sizes
        for size in np.unique(sizes[sizes > 1]).tolist():
            places = starts[sizes == size, None] + np.arange(size)
            self._add_pairs(np.sort(numbers[places], axis=1))

    def _add_parts(self, column: pa.Array, durations: np.ndarray, parts: Counter) -> None:
        encoded = column.dictionary_encode()
        has_one = column.is_valid().to_numpy(zero_copy_only=False)
        numbers = encoded.indices.drop_null().to_numpy()
        clips = np.bincount(numbers, minlength=len(encoded.dictionary))
        seconds = np.bincount(numbers, durations[has_one], len(encoded.dictionary))
        for i, name in enumerate(encoded.dictionary.to_pylist()):
            parts[name] += int(clips[i])
            self.seconds[name] += seconds[i]

    def _add_pairs(self, clips: np.ndarray) -> None:
        """Count the pairs of clips (N, labels of each), sorted."""
        for i, j in combinations(range(clips.shape[1]), 2):
            codes, counts = np.unique(
                clips[:, i].astype(np.int64) * len(self.labels) + clips[:, j], return_counts=True
            )
            self.pairs.update(dict(zip(codes.tolist(), counts.tolist(), strict=True)))


def summarise(folder: Path) -> DataSummary:
    """The figures of a prepared data set, from its index, in bounded memory.

    Raises:
        DataError: If the folder is not a prepared data set.
    """
    folder = Path(folder)
    info, names = read_info(folder), read_names(folder)
    counts = _Counts(names)
    for table in index_batches(folder, COLUMNS, ROWS):
        for rows in table.to_batches():
            _check_labels(folder, rows, counts.names)
            counts.add(rows)
    durations = np.concatenate(counts.durations or [np.zeros(0)])
    if not len(durations):
        raise DataError(f"{folder} holds no clips; {folder / 'failures.jsonl'} says why")
    return DataSummary(
        name=folder.resolve().name,
        clips=len(durations),
        hours=float(durations.sum()) / 3600,
        sample_rate=info.sample_rate,
        durations=tuple(np.quantile(durations, QUANTILES).tolist()),
        labels=tuple(_labels(names, counts.labels)),
        unlabelled=counts.unlabelled,
        labels_per_clip=float(counts.labels.sum()) / len(durations),
        splits=tuple(_parts(counts.splits, counts.seconds, info.splits)),
        folds=tuple(_parts(counts.folds, counts.seconds, {})),
        pairs=tuple(_pairs(names, counts.pairs)),
        failures=info.failures,
    )


def _check_labels(folder: Path, rows: pa.RecordBatch, names: pa.Array) -> None:
    """Raise a DataError if a clip has a label that the set does not have."""
    if not pc.all(pc.is_in(pc.list_flatten(rows["labels"]), names), min_count=0).as_py():
        raise damaged(folder / LABELS_FILE, f"a clip of {INDEX_FILE} has another label")


def _labels(names: list[str], counts: np.ndarray) -> Iterator[LabelCount]:
    for i in np.argsort(-counts, kind="stable").tolist():
        yield LabelCount(names[i], int(counts[i]))


def _parts(parts: Counter, seconds: Counter, about: dict[str, SplitInfo]) -> Iterator[PartSummary]:
    for name in sorted(parts):
        keys = about[name].keys if name in about else None
        yield PartSummary(str(name), parts[name], float(seconds[name]) / 3600, keys)


def _pairs(names: list[str], pairs: Counter[int]) -> Iterator[LabelPair]:
    ordered = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    for code, clips in ordered[:TOP_PAIRS]:
        first, second = divmod(code, len(names))
        yield LabelPair(names[first], names[second], clips)
