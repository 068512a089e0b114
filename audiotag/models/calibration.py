"""Calibration: what a model's scores are brought to, so that of tags of 0.7 seven in ten are right.

    logit of a calibrated score = slope x logit + bias of the class

It rises with the score, so that the clips of a class stay in their order (Platt, "Probabilistic
outputs for support vector machines", 1999). Scores of a softmax are brought so too, by a
temperature of 1 / slope (Guo et al., "On calibration of modern neural networks", 2017).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

LOWEST, HIGHEST = 1e-45, 1 - 2.0**-25  # scores in single precision that are neither 0 nor 1


@dataclass(frozen=True)
class Calibration:
    """A straight line of logits.

    Attributes:
        slope: What logits are multiplied by; above 0.
        biases: What is added then, of each class (classes,).

    Raises:
        ValueError: If the slope is not above 0, or a number is not finite.
    """

    slope: float
    biases: tuple[float, ...]

    def __post_init__(self) -> None:
        if not (isfinite(self.slope) and self.slope > 0 and all(map(isfinite, self.biases))):
            raise ValueError("a calibration has a slope above 0 and finite biases")

    def to_json(self) -> dict[str, Any]:
        """As it stands in `config.json`."""
        return {"slope": self.slope, "biases": list(self.biases)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], classes: int) -> "Calibration":
        """Read what `to_json` gave, for a model of so many classes.

        Raises:
            KeyError, ValueError, TypeError: If it is not that.
        """
        biases = tuple(float(x) for x in values["biases"])
        if len(biases) != classes:
            raise ValueError(f"{len(biases)} biases of a calibration for {classes} labels")
        return cls(float(values["slope"]), biases)

    def scores(self, scores: np.ndarray, softmax: bool) -> np.ndarray:
        """Calibrated scores of a model's own (..., classes), in [0, 1] and of the same type.

        Args:
            scores: Of a sigmoid or a softmax.
            softmax: Which; those of a softmax add up to one again.
        """
        inside = scores.astype(np.float64).clip(LOWEST, HIGHEST)
        logits = self.slope * (np.log(inside) - (0 if softmax else np.log1p(-inside)))
        logits += np.array(self.biases)
        if softmax:
            raised = np.exp(logits - logits.max(-1, keepdims=True))
            return (raised / raised.sum(-1, keepdims=True)).astype(scores.dtype)
        return np.exp(-np.logaddexp(0, -logits)).astype(scores.dtype)
