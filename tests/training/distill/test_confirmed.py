"""Labels that a teacher hears too are learnt with at least a given score."""

import pytest
import torch

from audiotag.training.distill.confirmed import raise_confirmed


def raised(scores, labelled, least=0.5, temperature=1.0):
    """Scores of one clip after its labels have been looked at."""
    scores = torch.tensor([scores])
    softened = (scores.logit() / temperature).sigmoid()
    labels = torch.zeros_like(scores)
    labels[0, labelled] = 1.0
    learnt = raise_confirmed(softened, labels, least, temperature)
    return (learnt.logit() * temperature).sigmoid()[0].tolist()


def test_a_label_that_the_teacher_hears_gets_the_least_score():
    assert raised([0.2, 0.1, 0.02], [0]) == pytest.approx([0.5, 0.1, 0.02])


def test_a_surer_teacher_is_believed():
    assert raised([0.8, 0.1, 0.02], [0, 1]) == pytest.approx([0.8, 0.5, 0.02])


def test_a_label_below_the_lowest_score_is_not_confirmed():
    assert raised([0.8, 0.1, 0.02], [2]) == pytest.approx([0.8, 0.1, 0.02])


def test_a_label_after_eight_others_is_not_confirmed():
    scores = [0.9 - 0.1 * i for i in range(8)] + [0.05]
    assert raised(scores, [8]) == pytest.approx(scores)
    assert raised(scores, [7])[7] == pytest.approx(0.5)


def test_scores_are_compared_before_they_are_softened():
    learnt = raised([0.2, 0.1, 0.02], [0, 2], least=0.6, temperature=3.0)
    assert learnt == pytest.approx([0.6, 0.1, 0.02], abs=1e-5)
