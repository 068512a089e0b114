"""Fast depthwise convolution with large kernels: one interface, one reference."""

from audiotag.ops.depthwise import depthwise_conv2d, reference_depthwise_conv2d

__all__ = ["depthwise_conv2d", "reference_depthwise_conv2d"]
