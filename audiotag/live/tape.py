"""The last seconds of a source's sound, for recordings that begin before their event."""

import threading
from collections import deque

import numpy as np


class Tape:
    """Samples of a source since it was opened, of which only the last are kept.

    Args:
        sample_rate: Hz.
        seconds: That are kept.

    Attributes:
        sample_rate: Hz.
        end: Samples that have been written.
    """

    def __init__(self, sample_rate: int, seconds: float) -> None:
        self.sample_rate, self.end = sample_rate, 0
        self._kept = round(seconds * sample_rate)
        self._blocks: deque[np.ndarray] = deque()
        self._begin = 0  # of the first block
        self._lock = threading.Lock()

    def write(self, block: np.ndarray) -> None:
        """Add samples (T,)."""
        with self._lock:
            self._blocks.append(block)
            self.end += len(block)
            while self._begin + len(self._blocks[0]) < self.end - self._kept:
                self._begin += len(self._blocks.popleft())

    def read(self, begin: int, end: int) -> tuple[int, np.ndarray]:
        """The samples from one number to before another, as far as they are kept; returns the
        number of the first, and the samples (T,)."""
        with self._lock:
            parts, place = [], self._begin
            for block in self._blocks:
                part = block[max(0, begin - place) : max(0, end - place)]
                if len(part):
                    parts.append(part)
                place += len(block)
            first = max(begin, self._begin)
        return first, np.concatenate(parts) if parts else np.zeros(0, np.float32)
