"""Two models on the same clips: by how much they differ, and whether that is more than chance.

The bootstrap over clips is paired: every resample has the same clips for both models.

A model may be given as several runs, trained with different seeds. Its figure is then their mean.
How much that mean would change with other seeds is drawn, for each resample, from the t
distribution that fits the spread of the runs. If both models have the same number of runs, the runs
are paired in their order, and the spread is that of the differences of pairs: runs with the same
seed are trained on the same clips in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audiotag.data.shards import hash_keys
from audiotag.errors import DataError, ModelError
from audiotag.evaluation.bootstrap import Statistic
from audiotag.evaluation.measurement import Measurement
from audiotag.evaluation.scoring import Scores
from audiotag.models.evaluation_record import Figure


@dataclass(frozen=True)
class Difference:
    """A figure of two models.

    Attributes:
        name: The figure, as in `measurement.Measurement.figures`.
        first: The figure of each run of the first model.
        second: The figure of each run of the second.
        difference: Mean of the first minus mean of the second, with its 95 % interval.
        p_value: Two-sided p-value of the hypothesis that they do not differ.
    """

    name: str
    first: tuple[float, ...]
    second: tuple[float, ...]
    difference: Figure
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Two models on the same clips, each as one run or several.

    Attributes:
        first: Names of the first model's runs.
        second: Names of the second's.
        clips: How many clips.
        keys: Hash of their keys.
        resamples: How many resamples the intervals and p-values come from.
        differences: One for each figure.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    clips: int
    keys: str
    resamples: int
    differences: tuple[Difference, ...]


def compare(
    first: Sequence[Measurement], second: Sequence[Measurement], seed: int = 0
) -> Comparison:
    """Compare models that were measured on the same clips with the same resamples.

    Args:
        first: One run of the first model, or several.
        second: The same of the second model. If both have the same number of runs, put runs with
            the same seed in the same position.
        seed: Seed of the draws that stand for other seeds of training.

    Raises:
        ModelError: If two runs do not have the same labels.
        DataError: If they were measured on different clips.
        ValueError: If they were measured with different numbers of resamples.
    """
    runs = [*first, *second]
    for run in runs[1:]:
        _check_same_labels(runs[0].scores, run.scores)
        _check_same_clips(runs[0], run)
    rng = np.random.default_rng(seed)
    return Comparison(
        first=tuple(run.scores.model for run in first),
        second=tuple(run.scores.model for run in second),
        clips=len(runs[0].scores.keys),
        keys=hash_keys(runs[0].scores.keys),
        resamples=_resamples(runs[0]),
        differences=tuple(
            compare_figure(
                name,
                [run.figures[name] for run in first],
                [run.figures[name] for run in second],
                rng,
            )
            for name in runs[0].figures
        ),
    )


def compare_figure(
    name: str,
    first: Sequence[Statistic],
    second: Sequence[Statistic],
    rng: np.random.Generator,
) -> Difference:
    """Compare one figure of the runs of two models, measured on the same resamples."""
    values = [np.array([run.value for run in runs]) for runs in (first, second)]
    draws = [np.mean([run.draws for run in runs], axis=0) for runs in (first, second)]
    moved = draws[0] - draws[1] + _seed_errors(first, second, rng)
    difference = Statistic(values[0].mean() - values[1].mean(), moved)
    low, high = difference.interval()
    return Difference(
        name=name,
        first=tuple(values[0].tolist()),
        second=tuple(values[1].tolist()),
        difference=Figure(float(difference.value), float(low), float(high)),
        p_value=difference.p_value(),
    )


def _seed_errors(
    first: Sequence[Statistic], second: Sequence[Statistic], rng: np.random.Generator
) -> np.ndarray:
    """Random errors (R,) of the difference of the means that are due to the seeds, one for a draw.

    From Student's t: of the differences of pairs if the models have the same number of runs, else
    with Welch's degrees of freedom (Biometrika 34, 1947). 0 if each model is one run.
    """
    samples = [first, second]
    if len(first) == len(second):
        pairs = zip(first, second, strict=True)
        samples = [[Statistic(a.value - b.value, a.draws - b.draws) for a, b in pairs]]
    arms = [(_seed_variance(runs), len(runs) - 1) for runs in samples if len(runs) > 1]
    total = sum(variance for variance, _ in arms)
    count = len(first[0].draws)
    if not total > 0:
        return np.zeros(count)
    freedom = total**2 / sum(variance**2 / freedom for variance, freedom in arms)
    return total**0.5 * rng.standard_t(freedom, size=count)


def _seed_variance(runs: Sequence[Statistic]) -> float:
    """Variance over seeds of the mean of runs, without the part that the draws already contain.

    Runs also differ because each happens to suit these clips. The draws show how much: as much as
    the runs' errors differ from each other within a draw.
    """
    spread = np.var([run.value for run in runs], ddof=1)
    moves = np.stack([run.errors for run in runs])
    by_clips = np.nanmean(np.var(moves, axis=0, ddof=1)) if moves.size else 0.0
    return float(max(0.0, spread - by_clips)) / len(runs)


def _check_same_labels(one: Scores, other: Scores) -> None:
    missing = sorted(set(one.labels.names) ^ set(other.labels.names))
    if missing:
        owner, lacking = (one, other) if missing[0] in one.labels.names else (other, one)
        raise ModelError(
            f"{one.model} and {other.model} do not have the same labels: {lacking.model} lacks "
            f"{missing[0]!r}, which {owner.model} has; compare models trained on the same labels"
        )


def _check_same_clips(one: Measurement, other: Measurement) -> None:
    if one.scores.keys != other.scores.keys:
        raise DataError(
            f"{one.scores.model} and {other.scores.model} were measured on different clips; name "
            "the same for both with --split or --fold"
        )
    if _resamples(one) != _resamples(other):
        raise ValueError("the runs were measured with different numbers of resamples")


def _resamples(run: Measurement) -> int:
    return len(run.figures["mAP"].draws)
