"""How well a tagger knows a prepared data set, and on which clips that was measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from audiotag.data.dataset import ClipDataset
from audiotag.data.shards import PCM_16_SCALE, hash_keys
from audiotag.errors import DataError
from audiotag.metrics import average_precision
from audiotag.tagger import Tagger


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model on a split, with the clips they hold for.

    Attributes:
        clips: How many clips.
        keys: Hash of the clips' keys: figures with another hash are of other clips.
        mean_average_precision: Mean over the classes that have a clip.
        accuracy: Share of clips whose first tag is their label; nothing if a clip has several.
        class_average_precision: Average precision by class name, of classes that have a clip.
    """

    clips: int
    keys: str
    mean_average_precision: float
    accuracy: float | None
    class_average_precision: dict[str, float]


def evaluate(tagger: Tagger, data: Path, split: str, batch_size: int = 16) -> Evaluation:
    """Score every clip of a split at its own length.

    Raises:
        DataError: If the data do not fit the model, or no clip has a label.
    """
    dataset = ClipDataset(data, split)
    if dataset.sample_rate != tagger.sample_rate:
        raise DataError(
            f"{data} is at {dataset.sample_rate} Hz and {tagger.name} takes {tagger.sample_rate} "
            f"Hz; prepare it with --sample-rate {tagger.sample_rate}"
        )
    targets = dataset.targets(tagger.labels)
    if not targets.any():
        raise DataError(f"{data}: no clip of split {split!r} has a label; nothing to measure")
    scores = score(tagger, dataset, batch_size)
    precision = average_precision(targets, scores)
    by_class = {
        name: float(p) for name, p in zip(tagger.labels.names, precision, strict=True) if p == p
    }
    single = (targets.sum(1) == 1).all()
    return Evaluation(
        clips=len(dataset),
        keys=hash_keys(dataset.keys),
        mean_average_precision=float(np.mean(list(by_class.values()))),
        accuracy=float((scores.argmax(1) == targets.argmax(1)).mean()) if single else None,
        class_average_precision=by_class,
    )


def score(tagger: Tagger, dataset: ClipDataset, batch_size: int = 16) -> np.ndarray:
    """Logits (N, classes) of every clip, at its own length or the model's minimum."""
    scores = np.empty((len(dataset), len(tagger.labels)), dtype=np.float32)
    with tqdm(total=len(dataset), unit="clip", desc="evaluate", disable=None) as bar:
        for clips in _equal_lengths(dataset, batch_size):
            samples = np.stack([_at_least(dataset.read(i), tagger) for i in clips])
            waveform = torch.from_numpy(samples).to(tagger.device).float() / PCM_16_SCALE
            with torch.inference_mode():
                scores[clips] = tagger(waveform).float().cpu().numpy()
            bar.update(len(clips))
    return scores


def _equal_lengths(dataset: ClipDataset, batch_size: int) -> Iterator[list[int]]:
    """Batches of clip numbers whose clips are equally long."""
    order = np.argsort(dataset.durations, kind="stable")
    for _, group in groupby(order, key=lambda i: dataset.durations[i]):
        clips = [int(i) for i in group]
        for first in range(0, len(clips), batch_size):
            yield clips[first : first + batch_size]


def _at_least(samples: np.ndarray, tagger: Tagger) -> np.ndarray:
    """Samples (T,), repeated up to the model's shortest clip."""
    shortest = round(tagger.min_duration * tagger.sample_rate)
    return samples if len(samples) >= shortest else np.resize(samples, shortest)
