"""Metrics against scikit-learn, with and without weights of the clips."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    label_ranking_average_precision_score,
    roc_auc_score,
)

from audiotag.evaluation import metrics


def clips(decimals, size=300, classes=20):
    """Targets and scores; few decimals give many ties."""
    rng = np.random.default_rng(decimals)
    targets = rng.random((size, classes)) < 0.1
    return targets, np.round(rng.random((size, classes)) + 0.3 * targets, decimals)


@pytest.fixture(params=[8, 1, 0], ids="decimals {}".format)
def data(request):
    return clips(request.param)


def test_average_precision_equals_scikit_learn(data):
    targets, scores = data
    expected = average_precision_score(targets, scores, average=None)
    np.testing.assert_allclose(metrics.average_precision(targets, scores), expected, atol=1e-12)
    mean = metrics.mean_average_precision(targets, scores)
    assert mean == pytest.approx(np.mean(expected), abs=1e-12)


def test_roc_auc_equals_scikit_learn(data):
    targets, scores = data
    expected = roc_auc_score(targets, scores, average=None)
    np.testing.assert_allclose(metrics.roc_auc(targets, scores), expected, atol=1e-12)


def test_lwlrap_equals_scikit_learn(data, monkeypatch):
    targets, scores = data
    labelled = targets.any(1)  # scikit-learn gives clips without a label a 1
    expected = label_ranking_average_precision_score(
        targets[labelled], scores[labelled], sample_weight=targets[labelled].sum(1)
    )
    assert metrics.lwlrap(targets, scores) == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(metrics, "CHUNK", 7)
    assert metrics.lwlrap(targets, scores) == pytest.approx(expected, abs=1e-12)


def test_weights_are_scikit_learns_sample_weights(data):
    targets, scores = data
    weights = np.random.default_rng(1).integers(0, 4, (len(targets), 3)).astype(np.float32)
    for ranks, target, score in zip(
        metrics.rank_classes(targets, scores), targets.T, scores.T, strict=True
    ):
        precision, auc = ranks.both(weights)
        for i, weight in enumerate(weights.T):
            expected = average_precision_score(target, score, sample_weight=weight)
            assert precision[i] == pytest.approx(expected, abs=1e-6)
            expected = roc_auc_score(target, score, sample_weight=weight)
            assert auc[i] == pytest.approx(expected, abs=1e-6)


def test_d_prime_is_the_distance_of_two_normal_distributions():
    for distance in (-1.0, 0.0, 0.7, 3.0):
        auc = norm.cdf(distance / math.sqrt(2))  # P(x < y) for x ~ N(0, 1), y ~ N(distance, 1)
        assert metrics.d_prime(float(auc)) == pytest.approx(distance, abs=1e-9)
    assert metrics.d_prime(1.0) == math.inf and metrics.d_prime(0.0) == -math.inf
    assert math.isnan(metrics.d_prime(math.nan))


def test_confusion_equals_scikit_learn():
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(5, size=200), rng.random((200, 6))
    expected = confusion_matrix(truth, scores.argmax(1), labels=range(6))
    np.testing.assert_array_equal(metrics.confusion_matrix(np.eye(6)[truth], scores), expected)


def test_classes_without_a_positive_do_not_count():
    targets = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1]])
    scores = np.array([[0.9, 0.1, 0.1], [0.5, 0.2, 0.2], [0.1, 0.3, 0.3]])
    precision, auc = metrics.average_precision(targets, scores), metrics.roc_auc(targets, scores)
    np.testing.assert_allclose(precision, [(1 + 2 / 3) / 2, np.nan, 1])
    np.testing.assert_allclose(auc, [0.5, np.nan, np.nan])  # the last class has no negative
    mean = metrics.mean_average_precision(targets, scores)
    assert mean == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)


def test_no_positive_at_all_is_nan():
    assert np.isnan(metrics.mean_average_precision(np.zeros((3, 2)), np.ones((3, 2))))
