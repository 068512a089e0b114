"""EfficientAT's MobileNetV3 audio taggers: torchvision's MobileNetV3-Large of any width.

Schmid, Koutini and Widmer, "Efficient large-scale audio tagging via transformer-to-CNN
knowledge distillation", arXiv 2211.04772. The network is torchvision's, with two differences: the
input has one channel, and squeeze-excitation ends in a sigmoid instead of a hard sigmoid.
State-dict keys are torchvision's (`features.N...`, `classifier.0`, `classifier.3`);
`audiotag.models.published.convert` renames EfficientAT's.
"""

from functools import partial
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large
from torchvision.models.mobilenetv3 import InvertedResidual
from torchvision.ops import SqueezeExcitation

NUM_CLASSES = 527  # AudioSet
DROP_RATE = 0.2  # before the last layer, as torchvision and EfficientAT
INIT_STD = 0.01  # of linear layers, as torchvision
HIDDEN_SIZE = 1280  # of the classifier at width 1
ANY_WIDTH = "mn_as"  # takes `width`; the others have the widths that EfficientAT publishes
WIDTHS = {
    "mn01_as": 0.1,
    "mn02_as": 0.2,
    "mn04_as": 0.4,
    "mn05_as": 0.5,
    "mn06_as": 0.6,
    "mn08_as": 0.8,
    "mn10_as": 1.0,
    "mn20_as": 2.0,
    "mn30_as": 3.0,
    "mn40_as": 4.0,
}
ARCHITECTURES = (ANY_WIDTH, *WIDTHS)


class AudioMobileNet(nn.Module):
    """MobileNetV3-Large for spectrograms, with timm's model interface.

    Args:
        width: Multiplies every channel count (each rounded to a multiple of 8).
        num_classes: Number of logits; 0 leaves out the last layer.
        in_chans: Channels of the input map.
        drop_rate: Dropout probability before the last layer.
    """

    def __init__(
        self,
        width: float = 1.0,
        num_classes: int = NUM_CLASSES,
        in_chans: int = 1,
        drop_rate: float = DROP_RATE,
    ) -> None:
        super().__init__()
        # torchvision's SqueezeExcitation ends in a sigmoid unless told otherwise.
        block = partial(InvertedResidual, se_layer=SqueezeExcitation)
        net = mobilenet_v3_large(width_mult=width, block=block, dropout=drop_rate)
        self.features = net.features
        self.features[0][0] = _stem_like(net.features[0][0], in_chans)
        self.classifier = net.classifier
        self.num_features = net.features[-1].out_channels
        self.head_hidden_size = net.classifier[0].out_features
        self.reset_classifier(num_classes)

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Patterns of parameter names, of the stem and of each block; timm's method."""
        return {"stem": r"^features\.0\.", "blocks": r"^features\.(\d+)\."}

    def get_classifier(self) -> nn.Module:
        """The last layer, from the embedding to the logits."""
        return self.classifier[3]

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer by a new one with random weights; 0 removes it."""
        self.num_classes = num_classes
        last = nn.Linear(self.head_hidden_size, num_classes) if num_classes else nn.Identity()
        if isinstance(last, nn.Linear):
            nn.init.normal_(last.weight, std=INIT_STD)
            nn.init.zeros_(last.bias)
        self.classifier[3] = last

    def forward_features(self, x: Tensor) -> Tensor:
        """Map (B, in_chans, mels, frames) to (B, num_features, mels / 32, frames / 32)."""
        return self.features(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify: (B, num_classes), or with `pre_logits` (B, head_hidden_size)."""
        x = x.mean((2, 3))
        return self.classifier[:2](x) if pre_logits else self.classifier(x)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_chans, mels, frames) to logits (B, num_classes)."""
        return self.forward_head(self.forward_features(x))


def architecture_of(hidden_size: int) -> tuple[str, dict[str, float]]:
    """Name and arguments of the network whose classifier has this hidden size.

    Widths are assumed to be whole hundredths. Hidden sizes are multiples of 8, so each belongs to
    at most one such width.
    """
    width = round(hidden_size / HIDDEN_SIZE, 2)
    for name, known in WIDTHS.items():
        if known == width:
            return name, {}
    return ANY_WIDTH, {"width": width}


def _stem_like(conv: nn.Conv2d, in_chans: int) -> nn.Conv2d:
    """A new first convolution with `in_chans` inputs, initialised as torchvision does."""
    stem = nn.Conv2d(in_chans, conv.out_channels, 3, stride=2, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")
    return stem


def _register(name: str, default_width: float) -> None:
    """Make `timm.create_model(name)` build this network."""

    def build(
        pretrained: bool = False, width: float = default_width, **kwargs: Any
    ) -> AudioMobileNet:
        return build_model_with_cfg(AudioMobileNet, name, pretrained, width=width, **kwargs)

    build.__name__ = build.__qualname__ = name
    register_model(build)


_CFG = {
    "num_classes": NUM_CLASSES,
    "input_size": (1, 128, 1000),  # channels, mels, frames of 10 s; timm takes in_chans from it
    "first_conv": "features.0.0",
    "classifier": "classifier.3",
}
default_cfgs = generate_default_cfgs({name: _CFG for name in ARCHITECTURES})
for _name in ARCHITECTURES:
    _register(_name, WIDTHS.get(_name, 1.0))
