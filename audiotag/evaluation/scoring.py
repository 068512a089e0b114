"""Scoring: a model's scores for every clip of a prepared data set, by one process or several."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.data.dataset import ClipDataset
from audiotag.data.shards import hash_keys
from audiotag.errors import DataError, ModelError
from audiotag.evaluation.hearing import compute_clips, equal_lengths
from audiotag.label_set import Labels
from audiotag.models.engine import Engine
from audiotag.models.provenance import Share, part_name
from audiotag.runtime.distributed import process_count, process_rank, sum_over_processes
from audiotag.runtime.files import replaced
from audiotag.runtime.hashes import sha256_of
from audiotag.runtime.progress import progress_line
from audiotag.runtime.version import __version__


@dataclass(frozen=True)
class ScoredClip:
    """What is known of a clip besides its scores.

    Attributes:
        sound, hash: As `ClipDataset.sounds` and `ClipDataset.hashes`.
        seconds: How much of it is heard at once, silence that follows it with it.
    """

    sound: str
    hash: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Scores:
    """A model's scores of clips, and the clips' labels.

    Attributes:
        model: The model's name in messages.
        data: Name of the data set's folder.
        split: The split that was scored; None for all.
        fold: The fold that was scored; None for all.
        labels: The classes.
        keys: The key of each clip.
        targets: Which labels each clip has, (N, classes) bool.
        values: Scores in [0, 1], (N, classes) float64.
        learnt: How many of the clips the model was trained on, as far as its folder says.
        about: What is known of each clip besides.
        weights_sha256: Of the file that the model's weights are from; None if they are from none.
            Of several models, a hash of theirs.
        crops: Seconds of the shortest and of the longest crop that the model was trained on, as
            far as its folder says.
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
    about: tuple["ScoredClip", ...] = ()
    weights_sha256: str | None = None
    crops: tuple[float, float] | None = None

    @classmethod
    def join(cls, parts: Sequence["Scores"]) -> "Scores":
        """The scores of several sets of clips, such as the folds of a cross-validation, as one.

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
            about=tuple(clip for part in parts for clip in part.about),
            weights_sha256=_joined_hash([part.weights_sha256 for part in parts]),
        )

    def of(self, chosen: np.ndarray) -> "Scores":
        """The scores of some of the clips, (N,) bool."""
        return replace(
            self,
            keys=tuple(compress(self.keys, chosen)),
            about=tuple(compress(self.about, chosen)),
            targets=self.targets[chosen],
            values=self.values[chosen],
        )

    @property
    def is_single(self) -> bool:
        """Whether every clip has exactly one label."""
        return bool((self.targets.sum(1) == 1).all())

    @property
    def data_hash(self) -> str:
        """Hash of the clips' keys, sounds and labels."""
        return hash_keys(clip.hash for clip in self.about)

    def save(self, path: Path) -> None:
        """Write arrays `keys`, `labels`, `targets` and `scores` to an `.npz` file.

        The array `sounds` has a hash of what each clip sounds like, and `data`, `split`, `fold`,
        `model`, `weights_sha256` and `audiotag` say what the scores are of, as an evaluation does.
        """
        said: dict[str, Any] = {
            "data": self.data_hash,
            "split": self.split,
            "fold": self.fold,
            "model": self.model,
            "weights_sha256": self.weights_sha256,
            "audiotag": __version__,
        }
        with replaced(path) as file:
            arrays: dict[str, Any] = {
                "keys": np.array(self.keys),
                "labels": np.array(self.labels.names),
                "targets": self.targets,
                "scores": self.values,
                "sounds": np.array([clip.sound for clip in self.about]),
            }
            arrays |= {name: np.array("" if x is None else x) for name, x in said.items()}
            np.savez_compressed(file, **arrays)


def score(
    tagger: Engine,
    data: Path,
    split: str | None = None,
    fold: int | None = None,
    batch_size: int = 16,
    unlabelled: bool = False,
    share: Share | None = None,
) -> Scores:
    """Score every clip of a data set, each at its own length, but at least the model's minimum.

    Clips at a higher sample rate than the model's are resampled. If the model takes windows of only
    one length, a clip gets the highest score of its windows for each class. Both are as in `tag`.

    If `torch.distributed` is initialised, each process scores a share, and all return all scores.
    The batches, and so the scores, are the same to the bit for any number of processes.

    Args:
        tagger: A `Model`, or any other engine.
        data: Folder of a prepared data set.
        split: Score only the clips of this split.
        fold: Score only the clips of this fold.
        batch_size: Clips scored at once.
        unlabelled: Score clips even if none of them has a label, and nothing can be measured.
        share: Score only the clips of this share of the recordings; see `ClipDataset`.

    Raises:
        DataError: If the data do not fit the model, or no clip has a label.
        ModelError: If a score is not a number, or a batch does not fit on the device.
    """
    dataset = ClipDataset(data, split, fold, share=share)
    if dataset.sample_rate < tagger.sample_rate:
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
    return Scores(
        model=tagger.name,
        data=name,
        split=part_name(split, share),
        fold=fold,
        labels=tagger.labels,
        keys=keys,
        targets=targets,
        values=values,
        about=_about(dataset, tagger),
        weights_sha256=None if tagger.weights is None else sha256_of(tagger.weights),
    )


def _about(dataset: ClipDataset, tagger: Engine) -> tuple[ScoredClip, ...]:
    heard = np.maximum(dataset.durations, tagger.min_duration)
    if tagger.window is not None:
        heard = np.full_like(heard, tagger.window)
    return tuple(map(ScoredClip, dataset.sounds, dataset.hashes, heard.tolist()))


def _joined_hash(hashes: Sequence[str | None]) -> str | None:
    """The hash of several models' weights; their own where it is one."""
    known = [x for x in hashes if x is not None]
    if len(set(known)) <= 1 or len(known) < len(hashes):
        return known[0] if len(known) == len(hashes) else None
    return hashlib.sha256("\n".join(known).encode()).hexdigest()


def _score_clips(tagger: Engine, dataset: ClipDataset, batch_size: int) -> np.ndarray:
    """Scores (N, classes) of all clips; this process computes its share of them."""
    batches = equal_lengths(dataset, batch_size)
    mine = batches[process_rank() :: process_count()]
    values = np.zeros((len(dataset), len(tagger.labels)))
    hidden = process_rank() > 0
    with progress_line(tagger.name, len(dataset), "clips", is_hidden=hidden) as line:
        score_windows = partial(tagger.score_windows, double=True)
        for clips, scores in compute_clips(dataset, mine, tagger, score_windows):
            values[clips] = scores.max(1)
            line.update(len(clips) * process_count())
    values = sum_over_processes(values)
    wrong = np.flatnonzero(~np.isfinite(values).all(1))
    if len(wrong):
        raise ModelError(
            f"{tagger.name}: the scores of {len(wrong)} clips, {dataset.keys[int(wrong[0])]} "
            "first, are not numbers; its weights may be damaged"
        )
    return values
