"""Thresholds: the lowest score at which each class counts as present, fitted for the highest F1."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.evaluation.calibration import LEAST_POSITIVES
from audiotag.evaluation.scoring import Scores
from audiotag.models.config import store_thresholds


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Thresholds of classes, and their F1 on the clips they were fitted on.

    Attributes:
        values: The lowest score at which each class counts as present, (classes,) in [0, 1].
        f1: F1 of each class (classes,); NaN for a class without a clip.
        fallback: The threshold that rare classes share.
    """

    values: np.ndarray
    f1: np.ndarray
    fallback: float


@dataclass(frozen=True)
class StoredThresholds:
    """Thresholds that were stored in a model folder, and how good they are.

    Attributes:
        folder: The model folder.
        f1: Mean F1 over the classes that have a clip, on the clips they were fitted on.
        f1_at_half: The same with a threshold of 0.5 for all classes.
        shared: How many classes share a threshold, because too few clips have them.
        tags: Mean number of tags per clip that reach their threshold.
        precision: The fraction of these tags that is right.
        recall: The fraction of the clips' labels that is among these tags.
    """

    folder: Path
    f1: float
    f1_at_half: float
    shared: int
    tags: float
    precision: float
    recall: float


def store_fitted_thresholds(
    folder: Path, scores: Scores, least_positives: int = LEAST_POSITIVES
) -> StoredThresholds:
    """Fit thresholds and store them in a model folder, for `tag`.

    Raises:
        ModelError: As `store_thresholds`.
    """
    fitted = fit_thresholds(scores, least_positives)
    store_thresholds(folder, fitted.values.tolist())
    half = f1_scores(scores.targets, scores.values, np.full(len(fitted.values), 0.5))
    shown = scores.values >= fitted.values
    right = (shown & scores.targets).sum()
    with np.errstate(invalid="ignore"):
        return StoredThresholds(
            folder,
            f1=float(np.nanmean(fitted.f1)),
            f1_at_half=float(np.nanmean(half)),
            shared=int((scores.targets.sum(0) < least_positives).sum()),
            tags=float(shown.sum(1).mean()),
            precision=float(right / shown.sum()),
            recall=float(right / scores.targets.sum()),
        )


def fit_thresholds(scores: Scores, least_positives: int = LEAST_POSITIVES) -> Thresholds:
    """The thresholds that maximise each class's F1; the highest if there are several.

    A threshold lies halfway between the lowest score that reaches it and the next lower one, so
    that scores that differ by rounding fall on the same side. Classes with fewer clips than
    `least_positives` share a threshold: the one that maximises F1 over their scores together, or,
    if even together they have fewer clips, over the scores of all classes.
    """
    targets, values = scores.targets, scores.values
    counts = targets.sum(0)
    rare = counts < least_positives
    pooled = (counts > 0) & (rare if counts[rare].sum() >= least_positives else True)
    fallback, _ = best_threshold(targets[:, pooled].ravel(), values[:, pooled].ravel())
    thresholds = np.full(targets.shape[1], fallback)
    for i in np.flatnonzero(~rare):
        thresholds[i], _ = best_threshold(targets[:, i], values[:, i])
    return Thresholds(thresholds, f1_scores(targets, values, thresholds), fallback)


def best_threshold(targets: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """The threshold with the highest F1, and this F1, for targets and scores (N,) in [0, 1]."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    hits = targets[order].cumsum()
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + hits[-1])
    f1[:-1][falling[1:] == falling[:-1]] = 0  # tied scores count together or not at all
    last = int(f1.argmax())
    below = falling[last + 1] if last + 1 < len(falling) else 0.0
    middle = (falling[last] + below) / 2
    return float(middle if middle > below else falling[last]), float(f1[last])


def f1_scores(targets: np.ndarray, scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """F1 (classes,) of scores (N, classes) with thresholds (classes,); NaN without a clip."""
    heard = scores >= thresholds
    counts = targets.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2 * (heard & targets).sum(0) / (heard.sum(0) + counts)
    return np.where(counts > 0, f1, np.nan)
