"""ConvNeXt for log-mel maps, with 7x7 or DCLS depthwise convolutions.

timm's ConvNeXt (arXiv 2201.03545) with the stem of arXiv 2309.13972: one row stride of 2 and one
column stride of 16, so that a map of 128 mels x 1001 frames enters the stages as 64 x 62.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.convnext import ConvNeXt, ConvNeXtBlock, ConvNeXtStage, checkpoint_filter_fn
from torch import Tensor, nn

from audiotag.dcls import DclsConv2d, share_positions

STEM_PATCH = (2, 16)  # mels x frames
WEIGHT_STD = 0.02
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
        dcls: Arguments of the DCLS convolutions (`kernel_size`, `kernel_count`, `version`) that
            replace the 7x7 ones, or nothing for the baseline. Each stage shares its positions.
        in_chans: Channels of the input map.
        norm_eps: Epsilon of every LayerNorm.
        kwargs: Further arguments of timm's ConvNeXt.
    """

    def __init__(
        self,
        depths: Sequence[int],
        dims: Sequence[int],
        dcls: dict | None = None,
        in_chans: int = 1,
        norm_eps: float = 1e-6,
        **kwargs,
    ) -> None:
        super().__init__(
            in_chans=in_chans, depths=tuple(depths), dims=tuple(dims), norm_eps=norm_eps, **kwargs
        )
        self.stem[0] = _stem(in_chans, dims[0])
        if dcls is not None:
            for stage in cast(Iterable[ConvNeXtStage], self.stages):
                _use_dcls(stage.blocks, **dcls)


def _stem(in_chans: int, channels: int) -> nn.Conv2d:
    conv = nn.Conv2d(in_chans, channels, STEM_PATCH, STEM_PATCH)
    nn.init.trunc_normal_(conv.weight, std=WEIGHT_STD)
    nn.init.zeros_(cast(Tensor, conv.bias))
    return conv


def _use_dcls(
    blocks: nn.Sequential, kernel_size: int = 23, kernel_count: int = 26, version: str = "gauss"
) -> None:
    convs = []
    for block in cast(Iterable[ConvNeXtBlock], blocks):
        channels = block.conv_dw.in_channels
        conv = DclsConv2d(
            channels,
            channels,
            kernel_count,
            padding=kernel_size // 2,
            dilated_kernel_size=kernel_size,
            groups=channels,
            version=version,
        )
        nn.init.normal_(conv.weight, std=WEIGHT_STD)
        nn.init.zeros_(cast(Tensor, conv.bias))
        block.conv_dw = conv
        convs.append(conv)
    share_positions(convs)


def _entrypoint(name: str, size: str, dcls: dict | None) -> Callable[..., AudioConvNeXt]:
    depths, dims = SIZES[size]

    def create(pretrained: bool = False, **kwargs) -> AudioConvNeXt:
        return build_model_with_cfg(
            AudioConvNeXt,
            name,
            pretrained,
            pretrained_filter_fn=checkpoint_filter_fn,
            feature_cfg={"out_indices": (0, 1, 2, 3), "flatten_sequential": True},
            **{"depths": depths, "dims": dims, "dcls": dcls, **kwargs},
        )

    create.__name__ = name
    create.__doc__ = f"ConvNeXt-{size} for audio, {'DCLS' if dcls is not None else '7x7'}."
    return create


ENTRYPOINTS: dict[str, tuple[str, dict[str, Any] | None]] = {
    f"convnext_{method}_{size}": (size, dcls)
    for size in SIZES
    for method, dcls in (("audio", None), ("dcls_audio", {}))
}
ARCHITECTURES = tuple(ENTRYPOINTS)
default_cfgs = generate_default_cfgs(
    {
        name: {
            "input_size": (1, 128, 1001),
            "num_classes": 527,
            "first_conv": "stem.0",
            "classifier": "head.fc",
        }
        for name in ARCHITECTURES
    }
)
for _name, (_size, _dcls) in ENTRYPOINTS.items():
    register_model(_entrypoint(_name, _size, _dcls))
