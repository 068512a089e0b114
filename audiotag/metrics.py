"""Metrics of multi-label tagging, equal to scikit-learn's."""

import numpy as np


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
    return np.array([_binary_ap(t, s) for t, s in zip(targets.T, scores.T, strict=True)])


def mean_average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Mean of `average_precision` over the classes that have a positive; NaN if none has."""
    present = targets.any(0)
    if not present.any():
        return float("nan")
    return float(average_precision(targets[:, present], scores[:, present]).mean())


def _binary_ap(targets: np.ndarray, scores: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    targets, scores = targets[order] > 0, scores[order]
    steps = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    found = np.cumsum(targets)[steps]
    if found[-1] == 0:
        return float("nan")
    return float(np.sum(np.diff(found, prepend=0) * found / (steps + 1)) / found[-1])
