"""Weight gradient on small maps: one matrix product over all pairs of cells, then a sum by lag.

X (cells, batch) is one channel of the maps, G (batch, cells) that of the output gradient. Then
(X G)[p, q] is what cell p of the map and cell q of the gradient contribute to the kernel's gradient
at lag p - q. On maps of up to a few hundred cells this is several times faster than the FFT.
"""

from functools import lru_cache

import torch
from torch import Tensor


def weight_gradient(maps: Tensor, grad: Tensor, kh: int, kw: int) -> Tensor:
    """Gradient (C, 1, kh, kw) of the kernel, from maps and output gradient, both (B, C, H, W)."""
    batch, channels, height, width = maps.shape
    cells = height * width
    left = maps.permute(1, 2, 3, 0).reshape(channels, cells, batch)
    right = grad.permute(1, 0, 2, 3).reshape(channels, batch, cells)
    pairs = torch.bmm(left, right).reshape(channels, cells * cells)
    lags = pairs.new_zeros(channels, kh * kw + 1)
    lags.index_add_(1, _lag_of_pair(height, width, kh, kw).to(maps.device), pairs)
    return lags[:, :-1].reshape(channels, 1, kh, kw)


@lru_cache(maxsize=64)
def _lag_of_pair(height: int, width: int, kh: int, kw: int) -> Tensor:
    """Index of the kernel cell of each (map cell, output cell) pair; kh * kw if outside."""
    rows, columns = torch.arange(height), torch.arange(width)
    row = (rows[:, None] - rows + kh // 2)[:, None, :, None]
    column = (columns[:, None] - columns + kw // 2)[None, :, None, :]
    inside = (row >= 0) & (row < kh) & (column >= 0) & (column < kw)
    return torch.where(inside, row * kw + column, kh * kw).flatten()
