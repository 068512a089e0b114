"""The regression against scikit-learn's, and its penalty against what is left out."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from audiotag.training.probe.regression import (
    PENALTIES,
    choose_penalty,
    figure_of,
    fit,
    fits,
    loss_of,
)


def made(count, width=40, classes=3, noise=1.0, seed=0):
    """Features (N, D) of classes that lie apart, not centred, and targets (N, classes)."""
    rng = np.random.default_rng(seed)
    label = np.arange(count) % classes
    centres = rng.standard_normal((classes, width))
    features = 5 + centres[label] + noise * rng.standard_normal((count, width))
    return torch.from_numpy(features), torch.eye(classes, dtype=torch.float64)[label]


def scaled(features):
    """As the penalty sees them, and with what they were divided."""
    centred = features - features.mean(0)
    size = centred.square().sum(1).mean().sqrt()
    return (centred / size).numpy(), float(size)


@pytest.mark.parametrize("count", [12, 90])  # fewer clips than dimensions, and more
@pytest.mark.parametrize("penalty", [0.1, 1e-3])
def test_one_label_a_clip_as_scikit_learn(count, penalty):
    features, targets = made(count)
    ours = fit(features, targets, True, penalty)
    x, size = scaled(features)
    theirs = LogisticRegression(C=1 / (penalty * count), max_iter=5000, tol=1e-8)
    theirs.fit(x, targets.argmax(1).numpy())
    np.testing.assert_allclose(ours.weight.numpy() * size, theirs.coef_, atol=2e-3)
    chances = ours(features).softmax(1).numpy()
    np.testing.assert_allclose(chances, theirs.predict_proba(x), atol=1e-3)


def test_any_labels_a_clip_as_scikit_learn():
    features, targets = made(60)
    targets[::4] = 0  # none of them
    ours = fit(features, targets, False, 0.01)
    x, _ = scaled(features)
    for i in range(3):
        theirs = LogisticRegression(C=1 / (0.01 * 60), max_iter=5000, tol=1e-8)
        theirs.fit(x, targets[:, i].numpy())
        chances = ours(features)[:, i].sigmoid().numpy()
        np.testing.assert_allclose(chances, theirs.predict_proba(x)[:, 1], atol=1e-3)


def test_a_label_without_a_clip_is_not_heard():
    features, targets = made(30, classes=2)
    for is_single in (True, False):
        wider = torch.cat([targets, torch.zeros(30, 1, dtype=torch.float64)], 1)
        logits = fit(features, wider, is_single, 0.01)(features)
        scores = logits.softmax(1) if is_single else logits.sigmoid()
        assert scores.isfinite().all() and scores[:, 2].max() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("is_single", [True, False])
def test_what_is_chosen_tells_left_out_clips_best(is_single):
    """The figure is that of the best penalty but for chance, and no other temperature has a lower
    loss; logits of a clip come from a regression that has not learnt from its part."""
    features, targets = made(60, noise=4.0)
    parts = torch.arange(60) // 3 % 5
    chosen = choose_penalty(features, targets, parts, is_single)
    figures = []
    for penalty in PENALTIES[::3]:
        told = torch.zeros_like(targets)
        for part in range(5):
            rest = parts != part
            told[~rest] = fit(features[rest], targets[rest], is_single, penalty)(features[~rest])
        figures.append(figure_of(told, targets, is_single))
    assert figure_of(chosen.logits, targets, is_single) >= max(figures) - 0.07
    again = torch.zeros_like(targets)
    for part in range(5):
        rest = parts != part
        found = fit(features[rest], targets[rest], is_single, chosen.penalty, chosen.temperature)
        again[~rest] = found(features[~rest])
    torch.testing.assert_close(chosen.logits, again, atol=1e-2, rtol=1e-2)
    doubted = targets * 61 / 62 + (1 / 3 if is_single else 1 / 2) / 62
    losses = [loss_of(chosen.logits * x, doubted, is_single) for x in (0.7, 1.0, 1.4)]
    assert min(losses) == losses[1]


def test_features_that_say_nothing_leave_the_frequencies():
    targets = made(30)[1]
    *_, found = fits(torch.ones(30, 4, dtype=torch.float64), targets, True)
    assert found(torch.ones(1, 4, dtype=torch.float64)).softmax(1)[0].tolist() == pytest.approx(
        [1 / 3] * 3
    )


def test_a_label_of_one_clip_is_not_judged():
    features, targets = made(20, classes=2, noise=0.2)
    wider = torch.cat([targets, torch.zeros(20, 1, dtype=torch.float64)], 1)
    wider[0] = torch.tensor([0.0, 0.0, 1.0])
    chosen = choose_penalty(features, wider, torch.arange(20) % 5, True)
    assert chosen.clips.tolist() == list(range(1, 20))
    alone = choose_penalty(features[:2], targets[:2], torch.arange(2), True)
    assert len(alone.clips) == 0 and np.isnan(figure_of(alone.logits, targets[:0], True))
    chances = fit(features[:2], targets[:2], True, alone.penalty)(features[:2]).softmax(1)
    assert chances.diagonal().min() > 0.9


def test_clips_that_are_told_without_doubt_get_high_scores():
    """Where several penalties tell all, the one whose scores are right is taken."""
    features, targets = made(30, noise=0.3)
    chosen = choose_penalty(features, targets, torch.arange(30) // 3 % 5, True)
    chances = chosen.logits.softmax(1)[targets > 0]
    assert figure_of(chosen.logits, targets, True) == 1.0 and chances.min() > 0.9
    assert chances.max() < 0.9999  # of thirty clips nobody can be sure
