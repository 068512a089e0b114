"""Which labels each clip has, stored sparsely: AudioSet's rows are 99.6 % zeros."""

import numpy as np
import torch
from torch import Tensor


class Targets:
    """Labels of clips as a sparse matrix of 0 and 1, (N, classes).

    Args:
        clips: Clip number of each label, (L,).
        columns: Class of each label, (L,); one that a clip has twice counts once.
        shape: N and the number of classes.
    """

    def __init__(self, clips: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> None:
        self.shape = shape
        places = np.sort(clips.astype(np.int64) * shape[1] + columns, kind="stable")
        distinct = places[np.diff(places, prepend=-1) != 0]
        clips, columns = np.divmod(distinct, shape[1])
        self.columns = torch.from_numpy(columns)
        self.sizes = torch.from_numpy(np.bincount(clips, minlength=shape[0]))
        self._starts = self.sizes.cumsum(0) - self.sizes

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, clips: Tensor) -> Tensor:
        """Targets (B, classes), float32, of clips (B,)."""
        sizes = self.sizes[clips]
        row = torch.arange(len(clips)).repeat_interleave(sizes)
        first = sizes.cumsum(0) - sizes  # of each clip among the labels of all of them
        place = torch.arange(len(row)) + (self._starts[clips] - first)[row]
        targets = torch.zeros(len(clips), self.shape[1])
        targets[row, self.columns[place]] = 1
        return targets

    @property
    def counts(self) -> Tensor:
        """How many clips have each class, (classes,)."""
        return torch.bincount(self.columns, minlength=self.shape[1])

    @property
    def is_single(self) -> bool:
        """Whether every clip has exactly one label."""
        return bool((self.sizes == 1).all())

    def dense(self) -> np.ndarray:
        """The whole matrix (N, classes), float32."""
        return self.rows(torch.arange(len(self))).numpy()

    def weights(self, balance: float, offset: float = 0.0) -> Tensor:
        """How often to draw each clip, (N,) float64: its classes' (count + offset) ** -balance.

        A `balance` of 1 and an `offset` of 100 are the weights of arXiv 2309.13972's code but for
        its factor of 1000; 0.5 and 0 are the inverse square root. A clip's weight is the sum over
        its classes; the clips that have none count as a class of their own.
        """
        none = self.sizes == 0
        frequency = (self.counts.double() + offset).clamp(min=1) ** -balance
        clips = torch.arange(len(self)).repeat_interleave(self.sizes)
        weights = torch.zeros(len(self), dtype=torch.float64)
        weights.index_add_(0, clips, frequency[self.columns])
        weights[none] = (none.sum().double() + offset).clamp(min=1) ** -balance
        return weights
