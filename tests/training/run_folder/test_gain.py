"""Which gains on validation clips are believed."""

import numpy as np

from audiotag.training.run_folder.gain import is_gain


def test_one_clip_more_is_chance_and_a_tenth_of_many_is_none():
    assert not is_gain(55 / 56, 1.0, 56)
    assert not is_gain(1.0, 1.0, 1000)
    assert not is_gain(0.8, 0.7, 1000)
    assert is_gain(0.7, 0.8, 1000)
    assert not is_gain(0.7, 0.8, 30)


def test_equal_models_seldom_seem_to_gain():
    """Two shares of the same chance differ by two of their standard errors in 8 % of draws, so
    little more is taken for a gain."""
    rng = np.random.default_rng(0)
    draws = rng.binomial(60, 0.9, (2000, 2)) / 60
    believed = np.mean([is_gain(before, after, 60) for before, after in draws])
    assert 0 < believed < 0.12
