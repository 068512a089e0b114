"""Audio spectrogram transformers of the published size, with random weights, to measure their cost.

AST (arXiv 2104.01778) and PaSST-S (arXiv 2110.05069) are DeiT-base, timm's VisionTransformer with a
second class token, on overlapping patches.
"""

from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

PATCH, STRIDE = 16, 10  # mels and frames
N_MELS = 128
# Fraction of patches that PaSST-S drops in training: it keeps 8 of 12 rows, 59 of 99 columns.
PATCHOUT = 1 - 8 * 59 / (12 * 99)
# mAP in % on AudioSet of single models, and where it was published.
PUBLISHED = {"ast": (45.9, "arXiv 2104.01778"), "passt_s": (47.1, "arXiv 2110.05069")}
TRANSFORMERS = tuple(PUBLISHED)


class OverlappingPatches(nn.Module):
    """Patches of a map as tokens; replaces timm's layer, whose patches do not overlap.

    Args:
        img_size: Mels and frames of the map.
        patch_size: Rows and columns of a patch.
        in_chans: Channels of the map.
        embed_dim: Size of a token.
        stride: Rows and columns from one patch to the next.
        separate: Learn a position for each row and each column, as PaSST does.
        ignored: Other arguments of timm's `PatchEmbed`, which have no effect.
    """

    def __init__(
        self,
        img_size: tuple[int, int],
        patch_size: int,
        in_chans: int,
        embed_dim: int,
        stride: int = STRIDE,
        separate: bool = False,
        **ignored: object,
    ) -> None:
        super().__init__()
        rows, columns = ((size - patch_size) // stride + 1 for size in img_size)
        self.num_patches = rows * columns
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, stride)
        self.rows = self.columns = None
        if separate:
            self.rows = nn.Parameter(torch.zeros(embed_dim, rows, 1))
            self.columns = nn.Parameter(torch.zeros(embed_dim, 1, columns))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_chans, mels, frames) to tokens (B, patches, embed_dim)."""
        x = self.proj(x)
        if self.rows is not None and self.columns is not None:
            x = x + self.rows + self.columns
        return x.flatten(2).transpose(1, 2)


def transformer(name: str, num_classes: int, frames: int, **arguments: Any) -> VisionTransformer:
    """A transformer for maps (B, 1, 128, frames).

    Args:
        name: One of `TRANSFORMERS`.
        num_classes: Number of logits.
        frames: Length of the map.
        arguments: Arguments of timm's VisionTransformer that differ from DeiT-base's.
    """
    separate = name == "passt_s"
    return VisionTransformer(
        img_size=(N_MELS, frames),
        patch_size=PATCH,
        in_chans=1,
        num_classes=num_classes,
        reg_tokens=1,  # DeiT's distillation token
        pos_embed="none" if separate else "learn",
        patch_drop_rate=PATCHOUT if separate else 0.0,
        embed_layer=partial(OverlappingPatches, separate=separate),
        **arguments,
    )
