"""Metrics of tagging, equal to scikit-learn's, with any weights of the clips.

A resample is a weight for each clip: how often it is drawn. So no resample has to be sorted again.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

CHUNK = 4096  # positives ranked among all classes at once


def average_precision(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Average precision of each class.

    The sum over distinct scores of (recall gained) x (precision), as scikit-learn's
    `average_precision_score`: tied scores count as one step.

    Args:
        targets: 0 or 1, (N, classes).
        scores: Any numbers, (N, classes).

    Returns:
        (classes,), NaN where a class has no positive.
    """
    once = np.ones((len(targets), 1))
    return np.array([ranks.average_precision(once)[0] for ranks in rank_classes(targets, scores)])


def mean_average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Mean of `average_precision` over the classes that have a positive; NaN if none has."""
    present = targets.any(0)
    if not present.any():
        return float("nan")
    return float(average_precision(targets[:, present], scores[:, present]).mean())


def roc_auc(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each class, arguments as `average_precision`.

    Returns:
        (classes,), NaN where a class has no positive or no negative.
    """
    once = np.ones((len(targets), 1))
    return np.array([ranks.roc_auc(once)[0] for ranks in rank_classes(targets, scores)])


def d_prime(auc: float) -> float:
    """Distance of two normal distributions that have this AUC, in standard deviations.

    sqrt(2) x inverse normal distribution (AUC); infinite for an AUC of 0 or 1.
    """
    if not 0 < auc < 1:
        return {0.0: -np.inf, 1.0: np.inf}.get(auc, np.nan)
    return 2**0.5 * NormalDist().inv_cdf(auc)


def label_precisions(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """For each clip, the sum over its labels of the precision at that label's rank (N,).

    Divided by the number of labels, over all clips, it is lwlrap: label-weighted label-ranking
    average precision (Fonseca et al., DCASE 2019 task 2). A tie counts as ranked below.
    """
    clips, classes = np.nonzero(targets)
    sums = np.zeros(len(targets))
    for first in range(0, len(clips), CHUNK):
        clip, label = clips[first : first + CHUNK], classes[first : first + CHUNK]
        above = scores[clip] >= scores[clip, label, None]
        precision = (above & (targets[clip] > 0)).sum(1) / above.sum(1)
        np.add.at(sums, clip, precision)
    return sums


def lwlrap(targets: np.ndarray, scores: np.ndarray) -> float:
    """Mean over all labels of all clips of the precision at its rank; see `label_precisions`."""
    return float(label_precisions(targets, scores).sum() / np.count_nonzero(targets))


def confusion_matrix(targets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Counts (classes, classes) of clips with one label: row its class, column the first tag."""
    counts = np.zeros((targets.shape[1], targets.shape[1]), np.int64)
    np.add.at(counts, (targets.argmax(1), scores.argmax(1)), 1)
    return counts


@dataclass(frozen=True, eq=False)
class RankedClass:
    """The clips in the order of falling scores for one class, in the bins that its metrics need.

    A step is a score that at least one positive clip has. The clips with this score are in bin
    2 x step + 1; those between it and the step before are in bin 2 x step.

    Attributes:
        order: The clips (N,).
        bins: The bins that hold a clip, in rising order.
        first: Where each of these bins starts in `order`.
        positives: The positive clips (P,), in the same order.
        first_positives: Where each step starts in `positives` (steps,).
    """

    order: np.ndarray
    bins: np.ndarray
    first: np.ndarray
    positives: np.ndarray
    first_positives: np.ndarray

    @classmethod
    def sort(cls, targets: np.ndarray, scores: np.ndarray) -> "RankedClass":
        """The order of clips with targets (N,), 0 or 1, by scores (N,)."""
        order = np.argsort(-scores)
        falling, hits = scores[order], targets[order] > 0
        ties = np.cumsum(np.append(False, falling[1:] != falling[:-1]))  # number of each score
        is_step = np.bincount(ties, weights=hits) > 0
        of_clips = (2 * (np.cumsum(is_step) - is_step) + is_step)[ties]
        bins, first = np.unique(of_clips, return_index=True)
        _, first_positives = np.unique(of_clips[hits], return_index=True)
        return cls(order, bins, first, order[hits], first_positives)

    def average_precision(self, weights: np.ndarray) -> np.ndarray:
        """Average precision (R,) with weights (N, R) of the clips; NaN without a positive."""
        return _average_precision(*self._counts(weights))

    def roc_auc(self, weights: np.ndarray) -> np.ndarray:
        """Area under the ROC curve (R,) with weights (N, R) of the clips; NaN unless there are
        both positives and negatives."""
        return _roc_auc(*self._counts(weights))

    def both(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`average_precision` and `roc_auc`, from the same counts."""
        counts = self._counts(weights)
        return _average_precision(*counts), _roc_auc(*counts)

    def _counts(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positives of each step (steps, R), and all clips of each bin (2 x steps + 1, R)."""
        steps, resamples = len(self.first_positives), weights.shape[1]
        clips = np.zeros((2 * steps + 1, resamples))
        clips[self.bins] = _sums(weights.take(self.order, axis=0), self.first)
        if not steps:
            return np.zeros((0, resamples)), clips
        return _sums(weights.take(self.positives, axis=0), self.first_positives), clips


def rank_classes(targets: np.ndarray, scores: np.ndarray) -> list[RankedClass]:
    """The order of the clips in each class of targets and scores (N, classes)."""
    return [RankedClass.sort(t, s) for t, s in zip(targets.T, scores.T, strict=True)]


def _sums(rows: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Sums of groups of rows; each group starts at one of `first` and ends before the next."""
    return np.add.reduceat(rows, first, dtype=np.float64)


def _average_precision(found: np.ndarray, clips: np.ndarray) -> np.ndarray:
    hits = found.cumsum(0)
    precision = _ratio(hits, clips.cumsum(0)[1::2], 0.0)
    return _ratio((found * precision).sum(0), found.sum(0), np.nan)


def _roc_auc(found: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """The fraction of (positive, negative) pairs in the right order; ties count half."""
    negatives = clips.copy()
    negatives[1::2] -= found
    total = negatives.sum(0)
    below = total - negatives.cumsum(0)[1::2] + negatives[1::2] / 2
    return _ratio((found * below).sum(0), found.sum(0) * total, np.nan)


def _ratio(numerator: np.ndarray, denominator: np.ndarray, otherwise: float) -> np.ndarray:
    """The ratio; `otherwise` where the denominator is 0."""
    out = np.full_like(numerator, otherwise)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)
