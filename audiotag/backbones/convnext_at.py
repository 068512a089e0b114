"""ConvNeXt-Tiny-AT, the audio tagger of arXiv 2306.00830: ConvNeXt-T for maps of 224 mels.

It differs from `backbones.convnext` at both ends: the stem starts with a batch norm of each mel
band and has square patches; pooling adds the maximum over time to the mean. The authors' maps are
(B, 1, frames, mels). Here they are (B, 1, mels, frames) as in the whole package, so
`from_reference` transposes the published kernels.
"""

from typing import Any, cast

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.convnext import checkpoint_filter_fn
from torch import Tensor, nn

from audiotag.backbones.convnext import SIZES, AudioConvNeXt
from audiotag.backbones.registry import unless_own
from audiotag.backbones.stem import WEIGHT_STD, MelBatchNorm

N_MELS = 224
STEM_PATCH = 4  # mels and frames
STEM_PADDING = (0, 4)  # mels, frames
FRONT_END_ARGS = {  # of features.log_mel.LogMel; its maps are normalised in the stem
    "n_mels": N_MELS,
    "mel_scale": "slaney",
    "norm": "slaney",
    "mean": 0.0,
    "std": 1.0,
}
FRONT_END_KEYS = ("spectrogram_extractor.", "logmel_extractor.")


class AudioConvNeXtAT(AudioConvNeXt):
    """ConvNeXt on maps (B, in_chans, n_mels, frames) with the stem and pooling of arXiv 2306.00830.

    Args:
        args: As for `AudioConvNeXt`.
        n_mels: Mel bands of the input; each has its own batch norm.
        kwargs: As for `AudioConvNeXt`.
    """

    def __init__(self, *args: Any, n_mels: int = N_MELS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stem = cast(nn.Sequential, self.stem)
        paper = cast(nn.Conv2d, stem[0])
        stem[0] = _patches(paper.in_channels, paper.out_channels)
        stem.insert(0, MelBatchNorm(n_mels))
        self.head.global_pool = MeanMaxPool()  # type: ignore[assignment]


class MeanMaxPool(nn.Module):
    """Mean over mels, then the maximum plus the mean over frames."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool maps (B, C, mels, frames) to (B, C, 1, 1)."""
        x = x.mean(2, keepdim=True)
        return x.amax(3, keepdim=True) + x.mean(3, keepdim=True)

    def is_identity(self) -> bool:
        """Whether it does nothing; timm's heads call this."""
        return False


def from_reference(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The published tensors under this model's names, transposed to its axes.

    Args:
        state: The published state dict, with or without the front end.
        model: A `convnext_tiny_at`.
    """
    renamed = {}
    for key, tensor in state.items():
        if key.startswith(FRONT_END_KEYS):
            continue  # a fixed Fourier transform and mel filters, which LogMel computes
        key = key.replace("bn0.", "stem.0.").replace("head_audioset.", "head.")
        key = key.replace("downsample_layers.0.1.", "stem.2.")
        key = key.replace("downsample_layers.0.0.", "stem.1.")
        renamed[key] = tensor.transpose(2, 3) if tensor.ndim == 4 else tensor
    return checkpoint_filter_fn(renamed, model)


def _patches(in_chans: int, channels: int) -> nn.Conv2d:
    conv = nn.Conv2d(in_chans, channels, STEM_PATCH, STEM_PATCH, STEM_PADDING)
    nn.init.trunc_normal_(conv.weight, std=WEIGHT_STD)
    nn.init.zeros_(cast(Tensor, conv.bias))
    return conv


default_cfgs = generate_default_cfgs(
    {
        "convnext_tiny_at": {
            "input_size": (1, N_MELS, 1001),
            "num_classes": 527,
            "first_conv": "stem.1",
            "classifier": "head.fc",
        }
    }
)


@register_model
def convnext_tiny_at(pretrained: bool = False, **kwargs: Any) -> AudioConvNeXtAT:
    """ConvNeXt-Tiny-AT (arXiv 2306.00830)."""
    depths, dims = SIZES["tiny"]
    return build_model_with_cfg(
        AudioConvNeXtAT,
        "convnext_tiny_at",
        pretrained,
        pretrained_filter_fn=unless_own(from_reference),
        feature_cfg={"out_indices": (0, 1, 2, 3), "flatten_sequential": True},
        **{"depths": depths, "dims": dims, **kwargs},
    )


ARCHITECTURES = ("convnext_tiny_at",)
