"""YAMNet: a MobileNetV1 on patches of one second, for 521 of AudioSet's classes.

Plakal and Ellis, "YAMNet", in TensorFlow's model garden; the network is that of Howard et al.,
arXiv 1704.04861. The score of a clip is the mean over its patches, which overlap by half.
`recipes/default/yamnet.py` makes a model folder from the published weights.
"""

from typing import Any, cast

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional as F

ARCHITECTURES = ("yamnet",)
NUM_CLASSES = 521
PATCH, PATCH_HOP = 96, 48  # frames
NORM_EPS = 1e-4
STEM = 32  # channels
# Stride and channels of each depthwise-separable convolution.
LAYERS = (
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    *[(1, 512)] * 5,
    (2, 1024),
    (1, 1024),
)


class Yamnet(nn.Module):
    """YAMNet with timm's model interface.

    Args:
        num_classes: Number of logits.
        in_chans: Channels of the input map.
    """

    def __init__(self, num_classes: int = NUM_CLASSES, in_chans: int = 1) -> None:
        super().__init__()
        layers, width = [_conv(in_chans, STEM, 3, 2)], STEM
        for stride, channels in LAYERS:
            layers += [_conv(width, width, 3, stride, width), _conv(width, channels, 1)]
            width = channels
        self.body = nn.Sequential(*layers)
        self.num_features = self.head_hidden_size = width
        self.reset_classifier(num_classes)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Patterns of parameter names, of the stem and of each layer; timm's method."""
        return {"stem": r"^body\.0\.", "blocks": r"^body\.(\d+)\."}

    def get_classifier(self) -> nn.Module:
        """The last layer, from a patch's embedding to its logits."""
        return self.head

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer by a new one with random weights."""
        self.num_classes = num_classes
        self.head = nn.Linear(self.head_hidden_size, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map (B, in_chans, 64, frames) to one map a patch, (B, patches, 1024, 3, 2).

        Raises:
            ValueError: If there are fewer frames than in a patch.
        """
        if x.shape[-1] < PATCH:
            raise ValueError(f"YAMNet takes {PATCH} frames or more, got {x.shape[-1]}")
        patches = x.unfold(3, PATCH, PATCH_HOP).permute(0, 3, 1, 4, 2)  # (B, patches, 1, 96, 64)
        return self.body(patches.flatten(0, 1)).unflatten(0, patches.shape[:2])

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (B, classes) of the mean score over patches; with `pre_logits`, the mean
        embedding over patches (B, 1024)."""
        embeddings = x.mean((3, 4))
        if pre_logits:
            return embeddings.mean(1)
        logits = self.head(embeddings)
        heard, unheard = (F.logsigmoid(y).logsumexp(1) for y in (logits, -logits))
        return heard - unheard

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_chans, 64, frames) to logits (B, num_classes)."""
        return self.forward_head(self.forward_features(x))


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution with TensorFlow's padding, a batch norm (published with scale 1), a ReLU."""
    # A layer that halves an even map, as all maps here are, pads only at the end.
    pad = nn.ZeroPad2d((0, 1, 0, 1)) if stride == 2 else nn.ZeroPad2d(kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return nn.Sequential(pad, conv, nn.BatchNorm2d(outputs, eps=NORM_EPS), nn.ReLU())


default_cfgs = generate_default_cfgs(
    {
        "yamnet": {
            "num_classes": NUM_CLASSES,
            "input_size": (1, 64, 998),  # channels, mels, frames of 10 s
            "first_conv": "body.0.1",
            "classifier": "head",
        }
    }
)


@register_model
def yamnet(pretrained: bool = False, **kwargs: Any) -> Yamnet:
    """YAMNet."""
    return cast(Yamnet, build_model_with_cfg(Yamnet, "yamnet", pretrained, **kwargs))
