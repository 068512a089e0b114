"""Calibration of scores: of the tags with a calibrated score of 0.7, seven in ten are right.

    logit of the calibrated score = slope x logit of the score + bias of the class

The slope is positive, so the order of a class's clips does not change (Platt, "Probabilistic
outputs for support vector machines", 1999). For the scores of a softmax only the slope is fitted:
1 / slope is their temperature (Guo et al., "On calibration of modern neural networks", 2017).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from audiotag.models.checks import check_calibration

LOWEST, HIGHEST = 1e-45, 1 - 2.0**-25  # scores in single precision that are neither 0 nor 1


@dataclass(frozen=True)
class Calibration:
    """A linear function of logits.

    Attributes:
        slope: Factor of all logits; above 0.
        biases: Added to the logits after that, one for each class (classes,).

    Raises:
        ValueError: If the slope is not above 0, or a number is not finite.
    """

    slope: float
    biases: tuple[float, ...]

    def __post_init__(self) -> None:
        if not (isfinite(self.slope) and self.slope > 0 and all(map(isfinite, self.biases))):
            raise ValueError("a calibration has a slope above 0 and finite biases")

    def to_json(self) -> dict[str, Any]:
        """The values in `config.json`."""
        return {"slope": self.slope, "biases": list(self.biases)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Calibration":
        """Read what `to_json` returned.

        Raises:
            KeyError, TypeError, ModelError: If it is anything else.
        """
        slope, biases = values["slope"], values["biases"]
        check_calibration(slope, biases)
        return cls(float(slope), tuple(map(float, biases)))

    def scores(self, scores: np.ndarray, softmax: bool) -> np.ndarray:
        """Calibrated scores (..., classes), in [0, 1] and of the type of `scores`.

        Args:
            scores: The model's own scores (..., classes).
            softmax: Whether they are those of a softmax, and add up to one; so do the results.
        """
        inside = scores.astype(np.float64).clip(LOWEST, HIGHEST)
        logits = self.slope * (np.log(inside) - (0 if softmax else np.log1p(-inside)))
        logits += np.array(self.biases)
        if softmax:
            raised = np.exp(logits - logits.max(-1, keepdims=True))
            return (raised / raised.sum(-1, keepdims=True)).astype(scores.dtype)
        return np.exp(-np.logaddexp(0, -logits)).astype(scores.dtype)
