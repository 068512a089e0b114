"""Scoring: a model's scores of every clip of a prepared data set, by one process or many."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from audiotag.audio.windows import followed_by_silence
from audiotag.data.dataset import ClipDataset
from audiotag.data.encoding import PCM_16_SCALE
from audiotag.errors import DataError, ModelError
from audiotag.label_set import Labels
from audiotag.models.engine import Engine
from audiotag.runtime.distributed import process_count, process_rank, sum_over_processes
from audiotag.runtime.files import replaced
from audiotag.runtime.progress import progress_line

BATCHES_AHEAD = 4  # read and waiting
READERS = 4  # threads; decoding FLAC is some 100 times faster than a CPU model


@dataclass(frozen=True, eq=False)
class Scores:
    """A model's scores of clips, and the labels of these.

    Attributes:
        model: The model's name in messages.
        data: Name of the data set's folder.
        split: Split that was scored; None for all.
        fold: Fold that was scored; None for all.
        labels: The classes.
        keys: Name of each clip.
        targets: Which labels each clip has, (N, classes) bool.
        values: Scores in [0, 1], (N, classes) float64.
        learnt: How many of the clips the model was trained on, as far as its folder says.
    """

    model: str
    data: str
    split: str | None
    fold: int | None
    labels: Labels
    keys: tuple[str, ...]
    targets: np.ndarray
    values: np.ndarray
    learnt: int = 0

    @classmethod
    def join(cls, parts: Sequence["Scores"]) -> "Scores":
        """The scores of several sets of clips as one, as of the folds of a cross-validation.

        Raises:
            ModelError: If they do not have the same labels, or two have the same clip.
        """
        first = parts[0]
        keys = tuple(key for part in parts for key in part.keys)
        if any(part.labels != first.labels for part in parts) or len(set(keys)) < len(keys):
            raise ModelError(
                f"the {len(parts)} sets of scores of {first.model} differ in their labels or "
                "overlap; join those of one set of labels on different clips"
            )
        return replace(
            first,
            split=first.split if len({part.split for part in parts}) == 1 else None,
            fold=first.fold if len({part.fold for part in parts}) == 1 else None,
            keys=keys,
            targets=np.concatenate([part.targets for part in parts]),
            values=np.concatenate([part.values for part in parts]),
            learnt=sum(part.learnt for part in parts),
        )

    @property
    def is_single(self) -> bool:
        """Whether every clip has exactly one label."""
        return bool((self.targets.sum(1) == 1).all())

    def save(self, path: Path) -> None:
        """Write arrays `keys`, `labels`, `targets` and `scores` to an `.npz` file."""
        with replaced(path) as file:
            np.savez_compressed(
                file,
                keys=np.array(self.keys),
                labels=np.array(self.labels.names),
                targets=self.targets,
                scores=self.values,
            )


def score(
    tagger: Engine,
    data: Path,
    split: str | None = None,
    fold: int | None = None,
    batch_size: int = 16,
    unlabelled: bool = False,
) -> Scores:
    """Score every clip of a data set at its own length, or the model's minimum.

    Where `torch.distributed` is initialised each process scores a share, and all get all scores.
    The batches are the same for any number of processes, and so is every bit of the scores.

    Args:
        tagger: A `Model`, or any other engine.
        data: Folder of a prepared data set.
        split: Its clips only.
        fold: Its clips only.
        batch_size: Clips scored at once.
        unlabelled: Score clips even if none of them has a label, so that nothing can be measured.

    Raises:
        DataError: If the data do not fit the model, or no clip has a label.
        ModelError: If a score is not a number, or a batch does not fit on the device.
    """
    dataset = ClipDataset(data, split, fold)
    if dataset.sample_rate != tagger.sample_rate:
        raise DataError(
            f"{data} is at {dataset.sample_rate} Hz and {tagger.name} takes {tagger.sample_rate} "
            f"Hz; prepare it with --sample-rate {tagger.sample_rate}"
        )
    targets = dataset.targets(tagger.labels).dense() > 0
    if not targets.any() and not unlabelled:
        raise DataError(f"{data}: none of the {len(dataset)} clips has a label; nothing to measure")
    values = _score_clips(tagger, dataset, batch_size)
    keys = tuple(str(key) for key in dataset.keys)
    name = Path(data).resolve().name
    return Scores(tagger.name, name, split, fold, tagger.labels, keys, targets, values)


def _score_clips(tagger: Engine, dataset: ClipDataset, batch_size: int) -> np.ndarray:
    """Scores (N, classes) of all clips, of which this process computes its share."""
    batches = list(_equal_lengths(dataset, batch_size))
    mine = batches[process_rank() :: process_count()]
    values = np.zeros((len(dataset), len(tagger.labels)))
    hidden = process_rank() > 0
    with progress_line(tagger.name, len(dataset), "clips", is_hidden=hidden) as line:
        for clips, waveforms in _read_ahead(dataset, mine, tagger):
            values[clips] = tagger.score_windows(waveforms, double=True)
            line.update(len(clips) * process_count())
    values = sum_over_processes(values)
    wrong = np.flatnonzero(~np.isfinite(values).all(1))
    if len(wrong):
        raise ModelError(
            f"{tagger.name}: the scores of {len(wrong)} clips, {dataset.keys[int(wrong[0])]} "
            "first, are not numbers; its weights may be damaged"
        )
    return values


def _read_ahead(
    dataset: ClipDataset, batches: list[list[int]], tagger: Engine
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Batches with their waveforms (B, T) float32 in [-1, 1], read in threads."""
    shortest = round(tagger.min_duration * tagger.sample_rate)

    def read(clip: int) -> np.ndarray:
        samples = dataset.read(clip).astype(np.float32) / np.float32(PCM_16_SCALE)
        return followed_by_silence(samples, shortest)

    waiting: deque[tuple[list[int], list[Future[np.ndarray]]]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        for batch in batches:
            waiting.append((batch, [pool.submit(read, clip) for clip in batch]))
            if len(waiting) > BATCHES_AHEAD:
                clips, parts = waiting.popleft()
                yield clips, np.stack([part.result() for part in parts])
        for clips, parts in waiting:
            yield clips, np.stack([part.result() for part in parts])


def _equal_lengths(dataset: ClipDataset, batch_size: int) -> Iterator[list[int]]:
    """Batches of clip numbers whose clips are equally long."""
    order = np.argsort(dataset.durations, kind="stable")
    for _, group in groupby(order, key=lambda i: dataset.durations[i]):
        clips = [int(i) for i in group]
        for first in range(0, len(clips), batch_size):
            yield clips[first : first + batch_size]
