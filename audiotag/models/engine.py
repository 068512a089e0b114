"""The interface of whatever computes scores: torch or onnxruntime."""

from pathlib import Path
from typing import Protocol

import numpy as np

from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig


class Engine(Protocol):
    """A model ready to run.

    Attributes:
        name: Its name in messages.
        weights: The file its weights were read from; None if there is no such file.
        precision: Number format of its matrix products, a key of `PRECISIONS`.
        labels: The classes.
        sample_rate: Sample rate of its input, Hz.
        min_duration: Seconds; shorter clips are padded with silence to this length.
        window: Seconds of every window, if it takes only one length; None if it takes any.
        is_gpu: Whether it computes on a GPU.
        thresholds: For each class, the lowest score at which it counts as present, (classes,);
            None if none were fitted.
    """

    name: str
    weights: Path | None
    precision: str

    @property
    def labels(self) -> Labels: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def min_duration(self) -> float: ...

    @property
    def window(self) -> float | None: ...

    @property
    def is_gpu(self) -> bool: ...

    @property
    def thresholds(self) -> np.ndarray | None: ...

    def score_windows(self, waveforms: np.ndarray, double: bool = False) -> np.ndarray:
        """Scores (B, classes) in [0, 1] of waveforms (B, T).

        Args:
            waveforms: At the model's sample rate.
            double: Return float64, computed from the logits if the engine has them. In float32
                all logits above 17 give the same score, and such ties change every figure.
        """

    def embed_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Embeddings (B, D) of waveforms (B, T)."""


class Configured:
    """The properties of an engine that its config defines.

    Attributes:
        config: The content of `config.json`.
        weights: The file its weights were read from; None if there is no such file.
        precision: Number format of matrix products, a key of `PRECISIONS`.
    """

    config: ModelConfig
    weights: Path | None = None
    precision = "fp32"

    @property
    def labels(self) -> Labels:
        """The classes, in the order of the scores."""
        return self.config.labels

    @property
    def min_duration(self) -> float:
        """Seconds; shorter clips are padded with silence to this length."""
        return self.config.min_duration

    @property
    def window(self) -> float | None:
        """Seconds of every window, if it takes only one length; None if it takes any."""
        return self.config.window

    @property
    def thresholds(self) -> np.ndarray | None:
        """For each class, the lowest score at which it counts as present, (classes,); None if none
        were fitted."""
        fitted = self.config.thresholds
        return None if fitted is None else np.array(fitted, np.float64)

    def calibrated(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated scores (B, classes) of the network's own (B, classes); the same scores if the
        config has no calibration.

        Example:
            >>> import audiotag, numpy as np
            >>> tagger = audiotag.load_tagger(device="cpu")
            >>> low, high = tagger.calibrated(np.array([[0.1] * 527, [0.9] * 527]))[:, 0]
            >>> bool(0 < low < high < 1)
            True
        """
        fitted = self.config.calibration
        return scores if fitted is None else fitted.scores(scores, self.config.softmax)
