"""The order of an epoch: a pure function of seed and epoch."""

import numpy as np
import torch

from audiotag.training.sampling import epoch_order


def test_every_clip_comes_once_before_any_comes_twice():
    order = epoch_order(100, 250, None, seed=0, epoch=0)
    assert order.shape == (250,)
    for part in (order[:100], order[100:200]):
        assert sorted(part.tolist()) == list(range(100))
    assert len(set(order[200:].tolist())) == 50
    assert order[:100].tolist() != list(range(100)) != order[100:200].tolist()


def test_the_same_seed_and_epoch_give_the_same_order():
    weights = torch.arange(1.0, 51.0)
    for chosen in (None, weights):
        order = epoch_order(50, 50, chosen, seed=5, epoch=3)
        torch.manual_seed(99)  # the global generator has no part in it
        assert torch.equal(order, epoch_order(50, 50, chosen, seed=5, epoch=3))
        assert not torch.equal(order, epoch_order(50, 50, chosen, seed=5, epoch=4))
        assert not torch.equal(order, epoch_order(50, 50, chosen, seed=6, epoch=3))


def test_weights_are_the_chances():
    weights = torch.tensor([1.0, 2.0, 3.0, 0.0, 4.0])
    order = epoch_order(5, 100_000, weights, seed=0, epoch=0)
    shares = np.bincount(order.numpy(), minlength=5) / 100_000
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.3, 0, 0.4], atol=0.005)


def test_weights_of_millions_are_not_rounded_away():
    weights = torch.ones(4_000_000)
    order = epoch_order(4_000_000, 4_000_000, weights, seed=0, epoch=0)
    never = 1 - len(order.unique()) / 4_000_000
    assert abs(never - np.exp(-1)) < 0.001  # as chances of 1 in N leave it
