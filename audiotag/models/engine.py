"""The interface of everything that computes scores: torch or onnxruntime."""

from typing import Protocol

import numpy as np

from audiotag.labels import Labels


class Engine(Protocol):
    """A model ready to run.

    Attributes:
        name: How messages call it.
        labels: The classes.
        sample_rate: Hz of the waveforms it takes.
        min_duration: Seconds; shorter clips are followed by silence up to this.
        is_gpu: Whether it computes on a GPU.
        thresholds: Score from which on each class counts as heard, (classes,); None if none
            were fitted.
    """

    name: str
    labels: Labels

    @property
    def sample_rate(self) -> int: ...

    @property
    def min_duration(self) -> float: ...

    @property
    def is_gpu(self) -> bool: ...

    @property
    def thresholds(self) -> np.ndarray | None: ...

    def score_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Scores (B, classes) in [0, 1] of waveforms (B, T)."""

    def embed_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Embeddings (B, D) of waveforms (B, T)."""
