"""The order in which training sees clips: a pure function of seed and epoch.

A resumed run computes the epoch's order again and skips the clips that it has seen.
"""

import torch
from torch import Tensor

EPOCH_STRIDE = 1_000_003  # prime, keeps the seeds of epochs apart


def epoch_order(size: int, count: int, weights: Tensor | None, seed: int, epoch: int) -> Tensor:
    """The clip numbers (count,) of an epoch.

    Args:
        size: How many clips there are.
        count: How many are drawn.
        weights: How often to draw each clip, (size,), with replacement. Without
            weights no clip is drawn twice before all have been drawn once.
        seed: Of the run.
        epoch: Number of the epoch, from 0.
    """
    generator = torch.Generator().manual_seed(seed - (epoch + 1) * EPOCH_STRIDE)
    if weights is not None:  # double: a sum of millions leaves a weight few bits in single
        return torch.multinomial(weights.double(), count, replacement=True, generator=generator)
    rounds = -(-count // size)
    return torch.cat([torch.randperm(size, generator=generator) for _ in range(rounds)])[:count]
