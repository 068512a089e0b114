"""Which labels each clip has, stored sparsely: AudioSet's rows are 99.6 % zeros."""

import numpy as np


class Targets:
    """Labels of clips as a sparse matrix of 0 and 1, (N, classes).

    Args:
        clips: Clip number of each label, (L,).
        columns: Class of each label, (L,); a class that a clip has twice counts once.
        shape: N and the number of classes.
    """

    def __init__(self, clips: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> None:
        self.shape = shape
        places = np.sort(clips.astype(np.int64) * shape[1] + columns, kind="stable")
        distinct = places[np.diff(places, prepend=-1) != 0]
        clips, columns = np.divmod(distinct, shape[1])
        self.columns = columns
        self.sizes = np.bincount(clips, minlength=shape[0])
        self._starts = self.sizes.cumsum() - self.sizes

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, clips: np.ndarray) -> np.ndarray:
        """Targets (B, classes), float32, of clips (B,)."""
        sizes = self.sizes[clips]
        row = np.repeat(np.arange(len(clips)), sizes)
        first = sizes.cumsum() - sizes  # first label of each clip among all labels
        place = np.arange(len(row)) + (self._starts[clips] - first)[row]
        targets = np.zeros((len(clips), self.shape[1]), np.float32)
        targets[row, self.columns[place]] = 1
        return targets

    @property
    def counts(self) -> np.ndarray:
        """How many clips have each class, (classes,)."""
        return np.bincount(self.columns, minlength=self.shape[1])

    @property
    def is_single(self) -> bool:
        """Whether every clip has exactly one label."""
        return bool((self.sizes == 1).all())

    def dense(self) -> np.ndarray:
        """The whole matrix (N, classes), float32."""
        return self.rows(np.arange(len(self)))
