"""Labels that a teacher confirms: of a class that a clip is labelled with, and that a teacher hears
in it too, at least a given score is learnt, `distill.least_score`.

Labels of a whole recording need not hold for a crop of it, and names of files say little for sure.
A teacher knows of more classes than it is sure of. Where the two agree, a class is there.
"""

import torch
from torch import Tensor

FIRST, LOWEST = 8, 0.03  # number and lowest score of the tags that a teacher confirms


def raise_confirmed(scores: Tensor, labels: Tensor, least: float, temperature: float) -> Tensor:
    """Scores to learn, (B, classes).

    Args:
        scores: A teacher's scores (B, classes), softened by the temperature.
        labels: Which classes the clips are labelled with, (B, classes), 0 or 1.
        least: The least score, not softened, of a label among the teacher's `FIRST` tags with a
            score of `LOWEST` or more.
        temperature: The teacher's logits were divided by it.
    """
    first = scores.topk(min(FIRST, scores.shape[1]), dim=1).indices
    is_first = torch.zeros_like(scores, dtype=torch.bool).scatter(1, first, True)
    is_confirmed = (labels > 0) & is_first & (scores >= _softened(LOWEST, temperature))
    return torch.where(is_confirmed, scores.clamp(min=_softened(least, temperature)), scores)


def _softened(score: float, temperature: float) -> float:
    """A score between 0 and 1 whose logit is divided by the temperature."""
    return 1 / (1 + (1 / score - 1) ** (1 / temperature))
