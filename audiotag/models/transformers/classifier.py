"""A classifier of transformers as an engine: waveforms in, scores and embeddings out."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from audiotag.label_set import Labels
from audiotag.models.computing import computing
from audiotag.models.folder import CONFIG_FILE, WEIGHTS_FILE
from audiotag.models.transformers.config import build_extractor, build_network, longest_heard
from audiotag.models.transformers.folder import labels_of, read_values, uses_softmax
from audiotag.runtime.devices import select_device
from audiotag.runtime.precision import autocast

MIN_DURATION = 0.1  # s: what is shorter than a frame or two has no features


class Classifier:
    """An audio classifier of transformers, with its own feature extractor, labels and scores.

    Attributes:
        name: Its name in messages.
        network: The network; its classifier gives logits and the embedding beside them.
        labels: The classes, in the order of the scores.
        softmax: Whether scores add up to one; else each is a sigmoid.
        sample_rate: Sample rate of its input, Hz.
        min_duration: Seconds; shorter clips are followed by silence to this length.
        window: Seconds of the longest window, beyond which its feature extractor would cut off;
            None if it takes any.
        weights: The file its weights were read from.
        precision: Number format of matrix products, a key of `PRECISIONS`.
        thresholds: None: it has none.
    """

    min_duration = MIN_DURATION
    thresholds = None

    def __init__(
        self, network: Any, extractor: Any, labels: Labels, softmax: bool, name: str
    ) -> None:
        self.name, self.labels, self.softmax = name, labels, softmax
        self.network = network
        network.classifier = _WithEmbedding(network.classifier)
        self._extractor = extractor
        self.sample_rate: int = extractor.sampling_rate
        self.window = longest_heard(extractor)
        self.weights: Path | None = None
        self.precision = "fp32"

    @classmethod
    def load(
        cls, folder: Path, device: str = "auto", precision: str = "fp32", name: str | None = None
    ) -> Self:
        """The classifier in a folder.

        Args:
            folder: `config.json`, `preprocessor_config.json` and `model.safetensors`, as
                transformers saves them.
            device: As for `select_device`.
            precision: As of `open_engine`.
            name: Its name in messages; the folder unless given.

        Raises:
            ModelError: If a file is missing, damaged or does not fit the others.
            ModuleNotFoundError: If transformers is not installed.
        """
        values = read_values(folder / CONFIG_FILE)
        labels, softmax = labels_of(values), uses_softmax(values)
        found = cls(
            build_network(folder), build_extractor(folder), labels, softmax, name or folder.name
        )
        found.network.to(select_device(device))
        found.weights, found.precision = folder / WEIGHTS_FILE, precision
        return found

    @property
    def is_gpu(self) -> bool:
        """Whether it computes on a GPU."""
        return self.network.device.type == "cuda"

    def score_windows(self, waveforms: np.ndarray, double: bool = False) -> np.ndarray:
        """Scores (B, classes) in [0, 1] of waveforms (B, T); see `Engine.score_windows`.

        Raises:
            ModelError: If they do not fit on the device at once, or the network cannot take them.
        """
        logits = self._outputs(waveforms)[:, : len(self.labels)]
        logits = logits.to(torch.float64 if double else torch.float32)
        return (logits.softmax(1) if self.softmax else logits.sigmoid()).cpu().numpy()

    def embed_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Embeddings (B, D), the input of the classifier, of waveforms (B, T); errors as
        `score_windows`."""
        return self._outputs(waveforms)[:, len(self.labels) :].float().cpu().numpy()

    def _outputs(self, waveforms: np.ndarray) -> Tensor:
        """Logits and embeddings (B, classes + D)."""
        device = self.network.device
        with computing(self.name, waveforms, self.sample_rate), torch.inference_mode():
            inputs = self._extractor(
                list(waveforms), sampling_rate=self.sample_rate, return_tensors="pt"
            )
            with autocast(device.type, self.precision):
                return self.network(**inputs.to(device)).logits


class _WithEmbedding(nn.Module):
    """A classifier that gives its input too: embeddings (B, D) -> (B, classes + D)."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, embedding: Tensor) -> Tensor:
        return torch.cat([self.classifier(embedding), embedding], dim=1)
