"""The depthwise convolution that folded models and 7x7 baselines use."""

from torch import Tensor, nn

from audiotag.layers.kernels.depthwise import depthwise_conv2d


class DepthwiseConv2d(nn.Conv2d):
    """A same-size depthwise convolution without what of its kernel a small map never meets.

    With a parameter `plus` (1,), of the squares of its maps, plus it.
    """

    plus: nn.Parameter | None

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.register_parameter("plus", None)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps (B, C, H, W) to the same shape."""
        return depthwise_conv2d(x, self.weight, self.bias, self.plus)
