"""Measurement: every figure of a model's scores, and the same on resampled clips."""

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
        scores: What was measured.
        present: The classes that have a clip (K,): numbers in `scores.labels`.
        figures: By name: "mAP" and "AUC", means over the present classes; "lwlrap"; and
            "accuracy", the fraction of clips whose highest score is their label, where every clip
            has one label.
        average_precision: Of each present class, (K,).
        auc: Of each present class, (K,).
    """

    scores: Scores
    present: np.ndarray
    figures: dict[str, Statistic]
    average_precision: Statistic
    auc: Statistic


def measure(scores: Scores, count: int = RESAMPLES, seed: int = 0) -> Measurement:
    """Measure scores.

    Args:
        scores: Of one model.
        count: Resamples; 0 for none.
        seed: Of the resamples. Two models measured with one seed get the same resamples.
    """
    targets, values = scores.targets, scores.values
    present = np.flatnonzero(targets.any(0))
    ranks = rank_classes(targets[:, present], values[:, present])
    labels, precisions = targets.sum(1), label_precisions(targets, values)
    correct = values.argmax(1) == targets.argmax(1)
    blocks = []
    with ThreadPoolExecutor() as pool:  # NumPy lets other threads compute
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
    """Weights (clips, R) of the clips: each once, then the resamples."""
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
    """A statistic of blocks (R, ...), the first of which holds its value alone."""
    return Statistic(blocks[0][0], np.concatenate([blocks[0][:0], *blocks[1:]]))


def _mean_of_classes(values: Statistic) -> Statistic:
    return Statistic(_mean(values.value), _mean(values.draws))


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is a number; NaN where nothing is."""
    known = np.isfinite(values)
    return _fraction(np.where(known, values, 0).sum(-1), known.sum(-1))


def _fraction(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.divide(part, whole)
