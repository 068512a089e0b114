"""The first convolution of every audio backbone of arXiv 2309.13972."""

from torch import nn

PATCH = (2, 16)  # mels x frames: a map of 128 x 1001 enters the stages as 64 x 62
WEIGHT_STD = 0.02


def patch_conv(in_chans: int, channels: int, bias: bool) -> nn.Conv2d:
    """A convolution of non-overlapping patches, from (B, in_chans, mels, frames) to
    (B, channels, mels / 2, frames / 16)."""
    conv = nn.Conv2d(in_chans, channels, PATCH, PATCH, bias=bias)
    nn.init.trunc_normal_(conv.weight, std=WEIGHT_STD)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
