"""The order in which training sees clips: a pure function of seed and epoch.

A resumed run computes the order of the epoch again, and skips the clips that it has already seen.
"""

import torch
from torch import Tensor

from audiotag.data.targets import Targets

EPOCH_STRIDE = 1_000_003  # prime, keeps the seeds of epochs apart


def epoch_order(size: int, count: int, weights: Tensor | None, seed: int, epoch: int) -> Tensor:
    """The clip numbers (count,) of an epoch.

    Args:
        size: How many clips there are.
        count: How many are drawn.
        weights: How often to draw each clip, (size,), with replacement. Without
            weights no clip is drawn twice before all have been drawn once.
        seed: Seed of the run.
        epoch: Number of the epoch, from 0.
    """
    generator = torch.Generator().manual_seed(seed - (epoch + 1) * EPOCH_STRIDE)
    if weights is not None:  # double: a sum of millions leaves a weight few bits in single
        return torch.multinomial(weights.double(), count, replacement=True, generator=generator)
    rounds = -(-count // size)
    return torch.cat([torch.randperm(size, generator=generator) for _ in range(rounds)])[:count]


def balancing_weights(targets: Targets, balance: float, offset: float = 0.0) -> Tensor:
    """How often to draw each clip, (N,) float64: its classes' (count + offset) ** -balance.

    A `balance` of 1 and an `offset` of 100 give the weights of arXiv 2309.13972's code, except for
    its factor of 1000; 0.5 and 0 give the inverse square root. The weight of a clip is the sum over
    its classes; clips without a class count as a class of their own.
    """
    sizes, columns = torch.from_numpy(targets.sizes), torch.from_numpy(targets.columns)
    none = sizes == 0
    counts = torch.from_numpy(targets.counts)
    frequency = (counts.double() + offset).clamp(min=1) ** -balance
    clips = torch.arange(len(targets)).repeat_interleave(sizes)
    weights = torch.zeros(len(targets), dtype=torch.float64)
    weights.index_add_(0, clips, frequency[columns])
    weights[none] = (none.sum().double() + offset).clamp(min=1) ** -balance
    return weights


def limited_weights(weights: Tensor, common: Tensor, share: float) -> Tensor:
    """How often to draw each clip (N,), so that the `common` ones (N,) bool are at most `share`.

    Balancing by class does not reduce a class that occurs together with many others, as music does
    with every instrument. The weights within the common clips, and within the others, keep their
    ratios.
    """
    total, others = weights[common].sum(), weights[~common].sum()
    if total <= share * (total + others) or not others:
        return weights
    return torch.where(common, weights * (others / total * share / (1 - share)), weights)
