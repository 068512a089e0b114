"""ConvFormer for log-mel maps, with 7x7 or DCLS depthwise convolutions.

timm's MetaFormer (arXiv 2210.13452) with separable convolutions as mixers, and the stem of
arXiv 2309.13972 without bias.
"""

from collections.abc import Sequence
from typing import Any, cast

from timm.layers import LayerNorm
from timm.models.metaformer import MetaFormer, MlpHead, SepConv, checkpoint_filter_fn
from torch import Tensor

from audiotag.backbones.registry import audio_cfgs, register_audio
from audiotag.backbones.stem import patch_conv
from audiotag.layers.swap import swap_convs

DEPTHS, DIMS = (3, 3, 9, 3), (64, 128, 320, 512)  # S18
HEAD_NORM_EPS = 1e-5  # of the reference implementation; timm's is 1e-6


class AudioConvFormer(MetaFormer):
    """timm's ConvFormer on maps (B, in_chans, mels, frames) with the paper's stem.

    Args:
        depths: Blocks in each of the four stages.
        dims: Channels of each stage.
        dcls: Fields of `swap.DclsArguments` for the convolutions that replace the 7x7 ones; None
            for the baseline with 7x7 kernels. The blocks of a stage share their positions.
        in_chans: Channels of the input map.
        kwargs: Other arguments of timm's MetaFormer.
    """

    def __init__(
        self,
        depths: Sequence[int] = DEPTHS,
        dims: Sequence[int] = DIMS,
        dcls: dict[str, Any] | None = None,
        in_chans: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_chans, depths=tuple(depths), dims=tuple(dims), token_mixers=SepConv, **kwargs
        )
        self.stem.conv = patch_conv(in_chans, dims[0], bias=False)
        self._set_head_eps()
        if dcls is not None:
            for stage in self.stages:
                swap_convs(stage, **dcls)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns of parameter names, as timm's other models have: of the stem, and of each block
        or, if `coarse`, of each stage."""
        if coarse:
            return {"stem": r"^stem", "blocks": r"^stages\.(\d+)"}
        blocks = (r"^stages\.(\d+)\.downsample", (0,)), (r"^stages\.(\d+)\.blocks\.(\d+)", None)
        return {"stem": r"^stem", "blocks": blocks}

    def reset_classifier(self, num_classes: int, *args: Any, **kwargs: Any) -> None:
        """Replace the classifier by a new one with random weights; 0 removes it. timm's method."""
        super().reset_classifier(num_classes, *args, **kwargs)
        self._set_head_eps()

    def _set_head_eps(self) -> None:
        if isinstance(self.head.fc, MlpHead):
            cast(LayerNorm, self.head.fc.norm).eps = HEAD_NORM_EPS


def from_reference(state: dict[str, Tensor], model: AudioConvFormer) -> dict[str, Tensor]:
    """State dict of `model`, from that of a ConvFormer of the reference implementation."""
    return checkpoint_filter_fn(state, model)


ENTRYPOINTS: dict[str, dict[str, Any] | None] = {
    "convformer_audio_s18": None,
    "convformer_dcls_audio_s18": {},
}
ARCHITECTURES = tuple(ENTRYPOINTS)
default_cfgs = audio_cfgs(ARCHITECTURES, "stem.conv", "head.fc.fc2")
for _name, _dcls in ENTRYPOINTS.items():
    register_audio(AudioConvFormer, _name, checkpoint_filter_fn, _dcls)
