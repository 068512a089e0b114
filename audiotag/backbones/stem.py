"""The first layers of audio backbones: what several families have in common."""

from torch import Tensor, nn

PATCH = (
    2,
    16,
)  # mels x frames, of arXiv 2309.13972: a map of 128 x 1001 enters the stages as 64 x 62
WEIGHT_STD = 0.02


def patch_conv(in_chans: int, channels: int, bias: bool) -> nn.Conv2d:
    """A convolution on non-overlapping patches: (B, in_chans, mels, frames) to
    (B, channels, mels / 2, frames / 16)."""
    conv = nn.Conv2d(in_chans, channels, PATCH, PATCH, bias=bias)
    nn.init.trunc_normal_(conv.weight, std=WEIGHT_STD)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class MelBatchNorm(nn.BatchNorm2d):
    """Batch norm of each mel band, over channels and frames."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise maps (B, in_chans, n_mels, frames)."""
        return super().forward(input.transpose(1, 2)).transpose(1, 2)
