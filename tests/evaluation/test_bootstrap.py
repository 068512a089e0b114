"""The bootstrap against what is known in closed form, and against resampling by hand."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score

from audiotag.evaluation.bootstrap import Statistic, resamples
from audiotag.evaluation.metrics import RankedClass


def draws_of_mean(values, count=2000, seed=0):
    weights = np.concatenate(list(resamples(len(values), count, seed)), axis=1)
    return Statistic(values.mean(), weights.T @ values / len(values))


def test_resamples_draw_as_many_clips_with_replacement():
    blocks = list(resamples(30, 100, seed=3))
    weights = np.concatenate(blocks, axis=1)
    assert weights.shape == (30, 100)
    assert (weights.sum(0) == 30).all() and np.isin(weights, range(31)).all()
    # Each clip is drawn Binomial(30, 1/30) times: 100 x 30 draws have mean 1 and variance 29/30.
    assert weights.var() == pytest.approx(29 / 30, abs=0.1)
    again = np.concatenate(list(resamples(30, 100, seed=3)), axis=1)
    other = np.concatenate(list(resamples(30, 100, seed=4)), axis=1)
    assert (weights == again).all() and (weights != other).any()


def test_interval_of_a_mean_is_that_of_the_central_limit_theorem():
    values = np.random.default_rng(0).exponential(size=400)
    low, high = draws_of_mean(values).interval()
    half = norm.ppf(0.975) * values.std() / math.sqrt(len(values))
    assert high - low == pytest.approx(2 * half, rel=0.06)
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=0.1 * half)


def test_p_value_of_a_mean_is_that_of_a_z_test():
    noise = np.random.default_rng(1).normal(size=400)
    noise = (noise - noise.mean()) / noise.std()
    for z in (0.0, 1.0, -2.0):
        p = draws_of_mean(noise + z / math.sqrt(400)).p_value()
        assert p == pytest.approx(2 * norm.sf(abs(z)), abs=0.03)
    assert draws_of_mean(noise + 10, count=999).p_value() == 2 / 1000  # the least it can be
    assert draws_of_mean(np.zeros(20)).p_value() == 1


def test_draws_of_average_precision_are_those_of_the_drawn_clips():
    rng = np.random.default_rng(2)
    targets, scores = rng.random(60) < 0.3, np.round(rng.random(60), 1)
    ranks = RankedClass.sort(targets, scores)
    for weights in resamples(60, 70, seed=5):
        found = ranks.average_precision(weights)
        for precision, times in zip(found, weights.T.astype(int), strict=True):
            drawn = np.repeat(np.arange(60), times)
            expected = average_precision_score(targets[drawn], scores[drawn])
            assert precision == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_intervals_hold_the_expected_figure_of_rare_classes_in_about_95_of_100_sets():
    """Sets of clips are drawn again and again; the expected figure is the mean over many."""
    classes = 25
    rates = np.geomspace(0.01, 0.2, classes)

    def draw(rng):
        targets = rng.random((300, classes)) < rates
        return targets, rng.normal(size=(300, classes)) + 1.5 * targets

    def precisions(weights, targets, scores):
        present = targets.any(0)
        pairs = zip(targets.T[present], scores.T[present], strict=True)
        return np.stack([RankedClass.sort(t, s).average_precision(weights) for t, s in pairs])

    rng = np.random.default_rng(0)
    once = next(iter(resamples(300, 1, 0))) * 0 + 1
    expected = np.mean([precisions(once, *draw(rng)).mean() for _ in range(1000)])
    held = 0
    for _ in range(100):
        targets, scores = draw(rng)
        drawn = [
            np.nanmean(precisions(weights, targets, scores), axis=0)
            for weights in resamples(300, 256, 0)
        ]
        value = precisions(once, targets, scores).mean()
        low, high = Statistic(value, np.concatenate(drawn)).interval()
        held += low <= expected <= high
    assert 88 <= held <= 99
