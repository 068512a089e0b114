"""Calibration fitted on labelled clips, and how reliable scores are.

All classes share a slope (Platt, 1999). A class with enough positive clips has its own bias; all
others share one. A normal prior with a standard deviation of `OWN_DEVIATION` pulls each own bias
towards the shared one, the more the fewer clips the class has.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.errors import DataError
from audiotag.evaluation.scoring import Scores
from audiotag.models.calibration import HIGHEST, LOWEST, Calibration
from audiotag.models.config import read_config, store_calibration

LEAST_POSITIVES = 10  # clips of a class; a bias fitted to fewer does not hold on other clips
OWN_DEVIATION = 1.0  # logits
PARTS = 5  # of the clips: fitted on all except one, measured on that one
EDGES = tuple(round(0.1 * i, 1) for i in range(11))  # of scores
SHOWN_FROM = 0.1  # nearly all lower scores are rightly low, and would hide the others
STEPS, TOLERANCE = 100, 1e-7
SLOPES = 0.01, 100.0


@dataclass(frozen=True)
class Bin:
    """Tags whose scores lie between two edges.

    Attributes:
        low: Lower edge, included.
        high: Upper edge.
        tags: How many there are.
        score: Their mean score; NaN if there are none.
        right: The fraction of them that is right; NaN if there are none.
    """

    low: float
    high: float
    tags: int
    score: float
    right: float


@dataclass(frozen=True)
class StoredCalibration:
    """A calibration that was stored in a model folder, and how good it is.

    Attributes:
        folder: The model folder.
        own: How many classes have their own bias.
        before: The reliability of the model's own scores.
        after: The reliability of calibrated scores; each clip's are fitted on other clips.
    """

    folder: Path
    own: int
    before: tuple[Bin, ...]
    after: tuple[Bin, ...]


def store_fitted_calibration(
    folder: Path, scores: Scores, least_positives: int = LEAST_POSITIVES
) -> StoredCalibration:
    """Fit a calibration and store it in a model folder, for every command that computes scores.

    Args:
        folder: A model folder.
        scores: Its scores, not calibrated.
        least_positives: The least number of clips with which a class gets its own bias.

    Raises:
        DataError: As `fit_calibration`.
        ModelError: As `store_calibration`.
    """
    softmax = read_config(folder).softmax
    store_calibration(folder, fit_calibration(scores, softmax, least_positives))
    own = 0 if softmax else int((scores.targets.sum(0) >= least_positives).sum())
    after = cross_fitted(scores, softmax, least_positives)
    return StoredCalibration(
        folder,
        own,
        reliability(scores.targets, scores.values),
        reliability(scores.targets, after),
    )


def fit_calibration(
    scores: Scores, softmax: bool = False, least_positives: int | None = LEAST_POSITIVES
) -> Calibration:
    """The calibration with the highest likelihood of the clips' labels.

    Args:
        scores: A model's scores, not calibrated, and the labels.
        softmax: Whether they are those of a softmax, for which only a slope is fitted.
        least_positives: The least number of clips with which a class gets its own bias; None: no
            class gets one.

    Raises:
        DataError: If clips with a label are not scored higher than others, so that no slope above
            0 fits them.
    """
    if softmax:
        slope, biases = _softmax_slope(scores), np.zeros(len(scores.labels))
    else:
        counts = scores.targets.sum(0)
        own = np.zeros(len(counts), bool) if least_positives is None else counts >= least_positives
        slope, biases = _fit(_logits(scores.values), scores.targets, own)
    if not SLOPES[0] < slope < SLOPES[1]:
        raise DataError(
            f"{scores.data}: {scores.model} scores its {len(scores.keys)} clips no higher where "
            "they have a label than where they have not, so its scores cannot be calibrated on "
            "them; check the labels, or leave out --calibrate"
        )
    return Calibration(float(slope), tuple(biases.tolist()))


def calibrated_scores(folder: Path, values: np.ndarray) -> np.ndarray:
    """A model's own scores (N, classes), calibrated as its folder says."""
    config = read_config(folder)
    assert config.calibration is not None
    return config.calibration.scores(values, config.softmax)


def cross_fitted(scores: Scores, softmax: bool, least_positives: int | None) -> np.ndarray:
    """Calibrated scores (N, classes); each part of the clips is calibrated on the other parts."""
    part = np.random.default_rng(0).permutation(len(scores.keys)) % PARTS
    values = np.empty_like(scores.values)
    for number in np.unique(part):
        chosen = part == number
        fitted = fit_calibration(scores.of(~chosen), softmax, least_positives)
        values[chosen] = fitted.scores(scores.values[chosen], softmax)
    return values


def reliability(targets: np.ndarray, values: np.ndarray) -> tuple[Bin, ...]:
    """The tags in each bin of scores, and how many are right; targets and scores (N, classes)."""
    place = np.digitize(values, EDGES[1:-1])
    bins = []
    for i, (low, high) in enumerate(zip(EDGES[:-1], EDGES[1:], strict=True)):
        chosen = place == i
        count = int(chosen.sum())
        score, right = (float(x[chosen].mean()) if count else np.nan for x in (values, targets))
        bins.append(Bin(low, high, count, score, right))
    return tuple(bins)


def mean_gap(bins: tuple[Bin, ...]) -> float:
    """Mean distance of scores from the fraction that is right, over tags of `SHOWN_FROM` or more:
    the expected calibration error of Naeini et al., 2015, of these. NaN if there are none."""
    shown = [x for x in bins if x.low >= SHOWN_FROM and x.tags]
    tags = sum(x.tags for x in shown)
    return sum(x.tags * abs(x.score - x.right) for x in shown) / tags if tags else np.nan


def _logits(scores: np.ndarray) -> np.ndarray:
    inside = scores.clip(LOWEST, HIGHEST)
    return np.log(inside) - np.log1p(-inside)


def _fit(logits: np.ndarray, targets: np.ndarray, own: np.ndarray) -> tuple[float, np.ndarray]:
    """Slope, and biases (C,), by Newton's method, for logits and targets (N, C).

    The Hessian has the form of an arrow: a block (2, 2) for slope and shared bias, a diagonal (C,)
    for the classes' own biases, and the block between them (2, C). Targets are Platt's, slightly
    inside 0 and 1, so that the slope is finite even if the scores separate the labels perfectly.
    """
    positives, negatives = targets.sum(), (~targets).sum()
    wanted = np.where(targets, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    shared, offsets = np.array([1.0, 0.0]), np.zeros(logits.shape[1])
    for _ in range(STEPS):
        p = np.exp(-np.logaddexp(0, -(shared[0] * logits + shared[1] + offsets)))
        error, weight = p - wanted, p * (1 - p)
        joint = np.stack([(weight * logits).sum(0), weight.sum(0)]) * own
        down = np.where(own, error.sum(0) + offsets / OWN_DEVIATION**2, 0)
        diagonal = np.where(own, weight.sum(0) + 1 / OWN_DEVIATION**2, 1)
        gradient = np.array([(error * logits).sum(), error.sum()])
        cross = (weight * logits).sum()
        corner = np.array([[(weight * logits**2).sum(), cross], [cross, weight.sum()]])
        schur = corner - joint / diagonal @ joint.T
        step = np.linalg.lstsq(schur, gradient - joint / diagonal @ down, rcond=None)[0]
        own_step = (down - step @ joint) / diagonal
        size = max(np.abs(step).max(), np.abs(own_step).max())
        shared, offsets = (x - y / max(size, 1) for x, y in ((shared, step), (offsets, own_step)))
        if size < TOLERANCE:
            break
    return float(shared[0]), shared[1] + offsets


def _softmax_slope(scores: Scores) -> float:
    """The slope with the highest mean log-likelihood of the labels, by golden-section search."""
    logits = np.log(scores.values.clip(LOWEST, 1))
    clips, labels = np.nonzero(scores.targets)

    def loss(slope: float) -> float:
        raised = slope * logits
        top = raised.max(1, keepdims=True)
        total = np.log(np.exp(raised - top).sum(1)) + top[:, 0]
        return float((total[clips] - raised[clips, labels]).mean())

    low, high = np.log(SLOPES)
    ratio = (5**0.5 - 1) / 2
    while high - low > TOLERANCE**0.5:
        first, second = high - ratio * (high - low), low + ratio * (high - low)
        if loss(np.exp(first)) < loss(np.exp(second)):
            high = second
        else:
            low = first
    return float(np.exp((low + high) / 2))
