"""Learning a teacher's embeddings beside its scores.

Most clips have few of AudioSet's classes, so their scores say little about them; an embedding
describes every clip.
"""

from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_DEVIATION = 1e-3  # so that a dimension that hardly varies is not scaled up too much


def outputs(backbone: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings (B, D) and logits (B, classes) of maps (B, 1, mels, frames)."""
    model = cast(Any, backbone)  # timm's interface, which nn.Module does not declare
    features = model.forward_features(maps)
    return model.forward_head(features, pre_logits=True), model.forward_head(features)


class Matching(nn.Module):
    """Distance between a linear map of a student's embeddings and the teacher's standardised ones.

    These are the "hints" of FitNets (arXiv 1412.6550), taken after pooling.

    Args:
        width: Size of the student's embeddings.
        reference: The teacher's embeddings of clips (N, D); their mean and standard deviation are
            used to standardise.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, reference: Tensor) -> None:
        super().__init__()
        self.projection = nn.Linear(width, reference.shape[1])
        self.register_buffer("mean", reference.mean(0))
        self.register_buffer("deviation", reference.std(0) + SMALLEST_DEVIATION)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean squared difference of embeddings (B, width) and (B, D), standardised; it is 1 for a
        student that always returns the teacher's mean."""
        wanted = (teacher - self.mean) / self.deviation
        return F.mse_loss(self.projection(student), wanted)
