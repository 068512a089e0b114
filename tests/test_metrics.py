"""Metrics against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from audiotag.metrics import average_precision, mean_average_precision


@pytest.mark.parametrize("decimals", [8, 1])  # one decimal: many tied scores
def test_average_precision_equals_scikit_learn(decimals):
    rng = np.random.default_rng(0)
    targets = rng.random((300, 20)) < 0.1
    scores = np.round(rng.random((300, 20)) + 0.3 * targets, decimals)
    expected = average_precision_score(targets, scores, average=None)
    np.testing.assert_allclose(average_precision(targets, scores), expected, atol=1e-12)
    assert mean_average_precision(targets, scores) == pytest.approx(np.mean(expected), abs=1e-12)


def test_classes_without_a_positive_do_not_count():
    targets = np.array([[1, 0], [0, 0], [1, 0]])
    scores = np.array([[0.9, 0.1], [0.5, 0.2], [0.1, 0.3]])
    assert np.isnan(average_precision(targets, scores)[1])
    assert mean_average_precision(targets, scores) == pytest.approx((1 + 2 / 3) / 2)


def test_no_positive_at_all_is_nan():
    assert np.isnan(mean_average_precision(np.zeros((3, 2)), np.ones((3, 2))))
