"""The depthwise convolution that folded models and 7x7 baselines use."""

from typing import Any

from torch import Tensor, nn

from audiotag.layers.kernels.depthwise import depthwise_conv2d


class DepthwiseConv2d(nn.Conv2d):
    """A same-size depthwise convolution that crops its kernel to the part that overlaps the map.

    If it has a parameter `plus` (1,), it convolves x^2 + plus instead of its input x.
    """

    plus: nn.Parameter | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_parameter("plus", None)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps (B, C, H, W) to the same shape."""
        return depthwise_conv2d(x, self.weight, self.bias, self.plus)
