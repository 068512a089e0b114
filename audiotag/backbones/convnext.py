"""ConvNeXt for log-mel maps, with 7x7 or DCLS depthwise convolutions.

timm's ConvNeXt (arXiv 2201.03545) with the stem of arXiv 2309.13972: a stride of 2 mels and of 16
frames, so that a map of 128 mels x 1001 frames enters the stages as 64 x 62.
"""

from collections.abc import Sequence
from typing import Any, cast

from timm.models.convnext import ConvNeXt, ConvNeXtStage, checkpoint_filter_fn
from torch import Tensor

from audiotag.backbones.registry import audio_cfgs, register_audio
from audiotag.backbones.stem import patch_conv
from audiotag.layers.swap import swap_convs

SIZES = {  # timm's depths and widths
    "atto": ((2, 2, 6, 2), (40, 80, 160, 320)),
    "femto": ((2, 2, 6, 2), (48, 96, 192, 384)),
    "pico": ((2, 2, 6, 2), (64, 128, 256, 512)),
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
}


class AudioConvNeXt(ConvNeXt):
    """timm's ConvNeXt on maps (B, in_chans, mels, frames) with the paper's stem.

    Args:
        depths: Blocks in each of the four stages.
        dims: Channels of each stage.
        dcls: Fields of `swap.DclsArguments` for the convolutions that replace the 7x7 ones; None
            for the baseline with 7x7 kernels. The blocks of a stage share their positions.
        in_chans: Channels of the input map.
        norm_eps: Epsilon of every LayerNorm.
        kwargs: Other arguments of timm's ConvNeXt.
    """

    def __init__(
        self,
        depths: Sequence[int],
        dims: Sequence[int],
        dcls: dict[str, Any] | None = None,
        in_chans: int = 1,
        norm_eps: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_chans=in_chans, depths=tuple(depths), dims=tuple(dims), norm_eps=norm_eps, **kwargs
        )
        self.stem[0] = patch_conv(in_chans, dims[0], bias=True)
        if dcls is not None:
            for stage in self.stages:
                swap_convs(cast(ConvNeXtStage, stage).blocks, **dcls)


def from_reference(state: dict[str, Tensor], model: AudioConvNeXt) -> dict[str, Tensor]:
    """State dict of `model`, from that of a ConvNeXt of the reference implementation."""
    return checkpoint_filter_fn(state, model)


ENTRYPOINTS: dict[str, tuple[str, dict[str, Any] | None]] = {
    f"convnext_{method}_{size}": (size, dcls)
    for size in SIZES
    for method, dcls in (("audio", None), ("dcls_audio", {}))
}
ENTRYPOINTS["convnext_dcls_audio_tiny17"] = (
    "tiny",
    {"kernel_size": 17, "kernel_count": 34, "version": "v1"},
)
ARCHITECTURES = tuple(ENTRYPOINTS)
default_cfgs = audio_cfgs(ARCHITECTURES, "stem.0", "head.fc")
for _name, (_size, _dcls) in ENTRYPOINTS.items():
    register_audio(
        AudioConvNeXt,
        _name,
        checkpoint_filter_fn,
        _dcls,
        depths=SIZES[_size][0],
        dims=SIZES[_size][1],
    )
