"""The interface of whatever computes scores: torch or onnxruntime."""

from pathlib import Path
from typing import Protocol

import numpy as np

from audiotag.label_set import Labels
from audiotag.models.config import ModelConfig


class Engine(Protocol):
    """A model ready to run.

    Attributes:
        name: How messages call it.
        weights: The file that its weights are from; None if they are from no file.
        precision: Of its matrix products, a key of `PRECISIONS`.
        labels: The classes.
        sample_rate: Hz of the waveforms it takes.
        min_duration: Seconds; shorter clips are followed by silence up to this.
        window: Seconds of the only windows that it takes; None if it takes any length.
        is_gpu: Whether it computes on a GPU.
        thresholds: For each class, the score from which on it counts as heard, (classes,); None
            if none were fitted.
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
            double: Give float64, computed from the logits where the engine has them: in float32,
                logits from 17 on are all the same score, and such ties count in every figure.
        """

    def embed_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Embeddings (B, D) of waveforms (B, T)."""


class Configured:
    """The part of an engine that its config says.

    Attributes:
        config: What `config.json` holds.
        weights: The file that the weights are from; None if they are from no file.
        precision: Of matrix products, a key of `PRECISIONS`.
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
        """Seconds; shorter clips are followed by silence up to this."""
        return self.config.min_duration

    @property
    def window(self) -> float | None:
        """Seconds of the only windows that it takes; None if it takes any length."""
        return self.config.window

    @property
    def thresholds(self) -> np.ndarray | None:
        """For each class, the score from which on it counts as heard, (classes,); None if none
        were fitted."""
        fitted = self.config.thresholds
        return None if fitted is None else np.array(fitted, np.float64)

    def calibrated(self, scores: np.ndarray) -> np.ndarray:
        """The scores to give of the network's own (B, classes): as they are, unless the config
        has a calibration.

        Example:
            >>> import audiotag, numpy as np
            >>> tagger = audiotag.load_tagger(device="cpu")
            >>> low, high = tagger.calibrated(np.array([[0.1] * 527, [0.9] * 527]))[:, 0]
            >>> bool(0 < low < high < 1)
            True
        """
        fitted = self.config.calibration
        return scores if fitted is None else fitted.scores(scores, self.config.softmax)
