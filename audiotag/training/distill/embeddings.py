"""Learning a teacher's embeddings beside its scores.

Scores tell little of a clip that has few of the classes, as most recordings have few of AudioSet's;
an embedding describes every clip.
"""

from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_DEVIATION = 1e-3  # keeps a dimension that hardly varies from being blown up


def outputs(backbone: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings (B, D) and logits (B, classes) of maps (B, 1, mels, frames)."""
    model = cast(Any, backbone)  # timm's interface, which nn.Module does not declare
    features = model.forward_features(maps)
    return model.forward_head(features, pre_logits=True), model.forward_head(features)


class Matching(nn.Module):
    """Distance of a student's embeddings, mapped linearly, to its teacher's, standardised.

    "Hints" of FitNets (arXiv 1412.6550), taken after pooling.

    Args:
        width: Of the student's embeddings.
        reference: The teacher's embeddings of clips (N, D), whose mean and deviation standardise.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, reference: Tensor) -> None:
        super().__init__()
        self.projection = nn.Linear(width, reference.shape[1])
        self.register_buffer("mean", reference.mean(0))
        self.register_buffer("deviation", reference.std(0) + SMALLEST_DEVIATION)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean squared difference of embeddings (B, width) and (B, D), standardised; 1 for a
        student that always gives the teacher's mean."""
        wanted = (teacher - self.mean) / self.deviation
        return F.mse_loss(self.projection(student), wanted)
