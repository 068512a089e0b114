"""CED: vision transformers for audio, taught by an ensemble ("consistent ensemble distillation").

Dinkel et al., "CED: Consistent ensemble distillation for audio tagging", arXiv 2308.11957. Patches
of 16 bands and 16 frames go through timm's blocks; there is no class token. A map longer than the
position embeddings reach is split evenly, and a clip's score is the mean of its pieces' scores.
"""

from collections import OrderedDict
from typing import Any, cast

import torch
from timm.layers import LayerNorm, trunc_normal_
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from audiotag.backbones.registry import unless_own
from audiotag.backbones.stem import WEIGHT_STD, MelBatchNorm

NUM_CLASSES = 527  # AudioSet
N_MELS = 64
PATCH = 16  # mels and frames
MAX_FRAMES = 1012  # of a piece; 10 s are 1001
MLP_RATIO = 4
HEAD_WIDTH = 64
MIN_DURATION = 0.16  # s of its front end that make a patch
SIZES = {  # width, heads
    "ced_tiny": (192, 3),
    "ced_mini": (256, 4),
    "ced_small": (384, 6),
    "ced_base": (768, 12),
}
ARCHITECTURES = tuple(SIZES)
FRONT_END_KEYS = "front_end."  # windows and mel filters, which features.ced.CedMel computes


class AudioCed(nn.Module):
    """CED with timm's model interface.

    Args:
        embed_dim: Width of the blocks.
        num_heads: Attention heads of a block.
        depth: Number of blocks.
        num_classes: Number of logits; 0 leaves out the classifier.
        in_chans: Channels of the input map.
        drop_rate: Dropout probability before the classifier.
        drop_path_rate: Probability that the last block is skipped in training; of the others it
            rises from 0.
    """

    def __init__(
        self,
        embed_dim: int = 768,
        num_heads: int = 12,
        depth: int = 12,
        num_classes: int = NUM_CLASSES,
        in_chans: int = 1,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_features = self.head_hidden_size = embed_dim
        self.init_bn = MelBatchNorm(N_MELS)
        patches = nn.Conv2d(in_chans, embed_dim, PATCH, PATCH)
        self.patch_embed = nn.Sequential(OrderedDict(proj=patches))
        self.time_pos_embed = nn.Parameter(torch.zeros(1, embed_dim, 1, MAX_FRAMES // PATCH))
        self.freq_pos_embed = nn.Parameter(torch.zeros(1, embed_dim, N_MELS // PATCH, 1))
        self.blocks = nn.Sequential(
            *(
                Block(embed_dim, num_heads, MLP_RATIO, True, drop_path=rate, norm_layer=LayerNorm)
                for rate in _rising(drop_path_rate, depth)
            )
        )
        self.norm = LayerNorm(embed_dim)  # timm's: eps is 1e-6, of the classifier's 1e-5
        self.head_drop = nn.Dropout(drop_rate)
        self.reset_classifier(num_classes)
        self.apply(_initialise)
        for positions in (self.time_pos_embed, self.freq_pos_embed):
            trunc_normal_(positions, std=WEIGHT_STD)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns of the parameters of the stem and of each block, as timm's models do."""
        stem = r"^(?:init_bn|patch_embed|time_pos_embed|freq_pos_embed)"
        return {"stem": stem, "blocks": [(r"^blocks\.(\d+)", None), (r"^norm\.", (99999,))]}

    def get_classifier(self) -> nn.Module:
        """The layers from the embedding to the logits: a layer norm and a linear one."""
        return self.outputlayer

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a new one with random weights; 0 removes it."""
        self.num_classes = num_classes
        width = self.num_features
        self.outputlayer: nn.Module = nn.Identity()
        if num_classes:
            self.outputlayer = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, num_classes))
            self.outputlayer.apply(_initialise)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map (B, in_chans, 64, frames) to patches (B, pieces, 4 x columns, embed_dim).

        A column is 16 frames; what is left over is not heard, as by the authors' own code.

        Raises:
            ValueError: If there are fewer frames than in a patch.
        """
        if x.shape[-1] < PATCH:
            raise ValueError(f"CED takes {PATCH} frames or more, got {x.shape[-1]}")
        pieces = _pieces(self.init_bn(x))  # (B, pieces, in_chans, 64, frames of a piece)
        patches = self.patch_embed(pieces.flatten(0, 1))
        columns = patches.shape[-1]
        patches = patches + self.time_pos_embed[..., :columns] + self.freq_pos_embed
        patches = self.norm(self.blocks(patches.flatten(2).transpose(1, 2)))
        return patches.reshape(-1, pieces.shape[1], *patches.shape[1:])

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Embeddings (B, embed_dim), the mean over patches, with `pre_logits`; else logits
        (B, classes) of the mean score of the pieces."""
        embeddings = x.mean(2)  # (B, pieces, embed_dim)
        if pre_logits or not self.num_classes:
            return embeddings.mean(1)
        logits = self.outputlayer(self.head_drop(embeddings))
        # log(mean p / (1 - mean p)); of a single piece it is the logit itself.
        heard, unheard = (F.logsigmoid(y).logsumexp(1) for y in (logits, -logits))
        return heard - unheard

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_chans, 64, frames) to logits (B, num_classes)."""
        return self.forward_head(self.forward_features(x))


def from_published(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The published tensors under this model's names.

    Args:
        state: The state dict on Zenodo, with or without the front end, or that on the Hub.
        model: A CED.
    """
    renamed = {}
    for key, tensor in state.items():
        key = key.removeprefix("encoder.").replace("init_bn.1.", "init_bn.")
        if not key.startswith(FRONT_END_KEYS):
            renamed[key] = tensor
    return renamed


def architecture_of(width: int) -> tuple[str, dict[str, int]]:
    """Name and arguments of the network of this width, its heads as wide as the published ones."""
    for name, (known, _) in SIZES.items():
        if known == width:
            return name, {}
    return "ced_base", {"embed_dim": width, "num_heads": max(1, width // HEAD_WIDTH)}


def _pieces(x: Tensor) -> Tensor:
    """Equal pieces (B, pieces, C, n_mels, length) of maps (B, C, n_mels, frames), none longer than
    `MAX_FRAMES`. Sizes are computed so that an export traces them."""
    frames = x.shape[-1]
    count = (frames + MAX_FRAMES - 1) // MAX_FRAMES
    length = frames // count
    cut = x[..., : count * length].reshape(*x.shape[:-1], count, length)
    return cut.permute(0, 3, 1, 2, 4)


def _rising(last: float, count: int) -> list[float]:
    return torch.linspace(0, last, count, device="cpu").tolist()


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear | nn.Conv2d):
        trunc_normal_(layer.weight, std=WEIGHT_STD)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _register(name: str, width: int, heads: int) -> None:
    """Make `timm.create_model(name)` build this network."""

    def build(pretrained: bool = False, **kwargs: Any) -> AudioCed:
        arguments = {"embed_dim": width, "num_heads": heads, **kwargs}
        filter_fn = unless_own(from_published)
        return cast(
            AudioCed,
            build_model_with_cfg(
                AudioCed, name, pretrained, pretrained_filter_fn=filter_fn, **arguments
            ),
        )

    build.__name__ = build.__qualname__ = name
    register_model(build)


_CFG = {
    "num_classes": NUM_CLASSES,
    "input_size": (1, N_MELS, 1001),  # channels, mels, frames of 10 s; timm takes in_chans from it
    "first_conv": "patch_embed.proj",
    "classifier": "outputlayer.1",
}
default_cfgs = generate_default_cfgs({name: _CFG for name in ARCHITECTURES})
for _name, _size in SIZES.items():
    _register(_name, *_size)
