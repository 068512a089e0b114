"""FastViT for log-mel maps, with 7x7 or DCLS depthwise convolutions.

timm's FastViT (arXiv 2303.14189) with the stem of arXiv 2309.13972: one convolution without bias.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, cast

from timm.models.fastvit import FastVit, FastVitStage, RepConditionalPosEnc, checkpoint_filter_fn
from torch import Tensor, nn

from audiotag.backbones.registry import audio_cfgs, register_audio
from audiotag.backbones.stem import patch_conv
from audiotag.layers.swap import swap_convs

LAYERS, EMBED_DIMS = (4, 4, 12, 4), (64, 128, 256, 512)  # SA24
MIXERS = ("repmixer", "repmixer", "repmixer", "attention")
MLP_RATIO = 4
KERNEL = 7  # of the feed-forward blocks and the position encoding


class AudioFastVit(FastVit):
    """timm's FastViT on maps (B, in_chans, mels, frames) with the paper's stem.

    Args:
        layers: Blocks in each of the four stages.
        embed_dims: Channels of each stage, each a multiple of the one before; the last one also a
            multiple of 32, the size of an attention head.
        dcls: Fields of `swap.DclsArguments` for the convolutions that replace the 7x7 ones of
            the feed-forward blocks and the position encoding; None for the baseline with 7x7
            kernels. The blocks of a stage share their positions.
        in_chans: Channels of the input map.
        kwargs: Other arguments of timm's FastViT.
    """

    def __init__(
        self,
        layers: Sequence[int] = LAYERS,
        embed_dims: Sequence[int] = EMBED_DIMS,
        dcls: dict[str, Any] | None = None,
        in_chans: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_chans=in_chans,
            layers=tuple(layers),
            embed_dims=tuple(embed_dims),
            token_mixers=MIXERS,
            mlp_ratios=(MLP_RATIO,) * 4,
            pos_embs=(  # type: ignore[arg-type]  # timm declares modules and takes classes
                *(None, None, None),
                partial(RepConditionalPosEnc, spatial_shape=(KERNEL, KERNEL)),
            ),
            **kwargs,
        )
        self.stem = patch_conv(in_chans, embed_dims[0], bias=False)  # type: ignore[assignment]
        if dcls is not None:
            for stage in cast(Iterable[FastVitStage], self.stages):
                # Not the stage as a whole: its downsampling has a 7x7 convolution of its own.
                parts = nn.ModuleList([stage.pos_emb, stage.blocks])
                swap_convs(parts, match_kernel=KERNEL, **dcls)


def from_reference(state: dict[str, Tensor], model: AudioFastVit) -> dict[str, Tensor]:
    """State dict of `model`, from that of a FastViT of the reference implementation."""
    return checkpoint_filter_fn(state, model)


ENTRYPOINTS: dict[str, dict[str, Any] | None] = {
    "fastvit_audio_sa24": None,
    "fastvit_dcls_audio_sa24": {},
}
ARCHITECTURES = tuple(ENTRYPOINTS)
default_cfgs = audio_cfgs(ARCHITECTURES, "stem", "head.fc")
for _name, _dcls in ENTRYPOINTS.items():
    register_audio(AudioFastVit, _name, checkpoint_filter_fn, _dcls)
