"""Measurement: all figures of a model's scores, on the clips and on resamples of them."""

from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from audiotag.evaluation.bootstrap import Statistic, resamples
from audiotag.evaluation.metrics import RankedClass, label_precisions, rank_classes
from audiotag.evaluation.scoring import Scores
from audiotag.runtime.progress import progress_line

RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Measurement:
    """The figures of scores.

    Attributes:
        scores: The scores that were measured.
        present: The classes that have a clip, as numbers in `scores.labels` (K,).
        figures: By name: "mAP" and "AUC", means over the present classes; "lwlrap"; and, if every
            clip has exactly one label, "accuracy", the fraction of clips whose label has the
            highest score.
        average_precision: Average precision of each present class (K,).
        auc: AUC of each present class (K,).
    """

    scores: Scores
    present: np.ndarray
    figures: dict[str, Statistic]
    average_precision: Statistic
    auc: Statistic


def measure(scores: Scores, count: int = RESAMPLES, seed: int = 0) -> Measurement:
    """Measure scores.

    Args:
        scores: The scores of one model.
        count: Number of resamples; 0 for none.
        seed: Seed of the resamples. Models measured with the same seed get the same resamples.
    """
    targets, values = scores.targets, scores.values
    present = np.flatnonzero(targets.any(0))
    ranks = rank_classes(targets[:, present], values[:, present])
    labels, precisions = targets.sum(1), label_precisions(targets, values)
    correct = values.argmax(1) == targets.argmax(1)
    blocks = []
    with ThreadPoolExecutor() as pool:  # NumPy releases the interpreter's lock
        for weights in _weights(len(targets), count, seed):
            drawn = weights.T.astype(np.float64)  # (R, N)
            ranking = _fraction(drawn @ precisions, drawn @ labels)
            classes = _of_classes(pool, ranks, weights)
            blocks.append((*classes, ranking, drawn @ correct / len(targets)))
    precision, auc, lwlrap, accuracy = (_statistic(part) for part in zip(*blocks, strict=True))
    figures: dict[str, Statistic] = {
        "mAP": _mean_of_classes(precision),
        "AUC": _mean_of_classes(auc),
        "lwlrap": lwlrap,
    }
    if scores.is_single:
        figures["accuracy"] = accuracy
    return Measurement(scores, present, figures, precision, auc)


def _weights(clips: int, count: int, seed: int) -> Iterable[np.ndarray]:
    """Weights (clips, R) of the clips, in blocks: first 1 for each clip, then the resamples."""
    yield np.ones((clips, 1), np.uint16)
    with progress_line("bootstrap", count, "resamples", is_left=False) as line:
        for weights in resamples(clips, count, seed):
            yield weights
            line.update(weights.shape[1])


def _of_classes(
    pool: Executor, ranks: list[RankedClass], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and AUC (R, K) of classes under weights (N, R)."""
    both = pool.map(lambda ranked: ranked.both(weights), ranks)
    precision, auc = zip(*both, strict=True)
    return np.stack(precision, axis=1), np.stack(auc, axis=1)


def _statistic(blocks: tuple[np.ndarray, ...]) -> Statistic:
    """A statistic from blocks (R, ...); the first block holds only its value."""
    return Statistic(blocks[0][0], np.concatenate([blocks[0][:0], *blocks[1:]]))


def _mean_of_classes(values: Statistic) -> Statistic:
    return Statistic(_mean(values.value), _mean(values.draws))


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis, without NaN; NaN if all are."""
    known = np.isfinite(values)
    return _fraction(np.where(known, values, 0).sum(-1), known.sum(-1))


def _fraction(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.divide(part, whole)
