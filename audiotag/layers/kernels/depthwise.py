"""Same-size depthwise convolution for odd kernels of any size.

PyTorch's own forward pass is fast on a CPU, on small maps in channels-last layout. But its weight
gradient for a 23x23 kernel takes 20 times as long, and all its passes are slow on a GPU.

- CPU: the functions in C, where they have been built. Without them, an FFT for large maps, and a
  matrix product for the weight gradient of small maps.
- GPU: the kernels in Triton, for the maps and kernels that they support. An FFT for others.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from audiotag.layers.kernels import native, pairwise, spectral
from audiotag.layers.kernels.availability import triton_module

# Kernels of up to this many cells: PyTorch's own gradient is faster (measured for 7x7 on a CPU).
DIRECT_KERNEL_AREA = 49
# On a CPU, maps of at least this many cells are transformed (measured: 64x12 is faster, 32x15 not),
SPECTRAL_CELLS = 600
# and those of at most this many get their weight gradient pair by pair (measured: 16x7 is 4 times
# faster than through the FFT, 32x6 no different).
PAIRWISE_CELLS = 150


def reference_depthwise_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The definition that `depthwise_conv2d` is tested against: PyTorch's grouped convolution."""
    padding = (weight.shape[-2] // 2, weight.shape[-1] // 2)
    return F.conv2d(x, weight, bias, padding=padding, groups=weight.shape[0])


def depthwise_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, plus: Tensor | None = None
) -> Tensor:
    """Correlate each channel of `x` with its own kernel, zero padded to the same size.

    Args:
        x: Maps (B, C, H, W).
        weight: Kernels (C, 1, kh, kw), both sizes odd.
        bias: One value a channel (C,), or nothing.
        plus: One value (1,). If given, x^2 + plus is correlated instead of x: after a ReLU, that
            is the rest of a StarReLU.

    Returns:
        Maps (B, C, H, W), in the type of `x`.

    Raises:
        ValueError: If a kernel side is even.
    """
    if weight.shape[-2] % 2 == 0 or weight.shape[-1] % 2 == 0:
        raise ValueError(f"kernel sides must be odd, got {tuple(weight.shape[-2:])}")
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    weight = crop_kernel(weight, x.shape[-2], x.shape[-1])
    small = weight.shape[-2] * weight.shape[-1] <= DIRECT_KERNEL_AREA
    if plus is not None and (small or torch.is_grad_enabled() or not native.is_preferred(x)):
        x, plus = torch.addcmul(plus.to(x.dtype), x, x), None
    if small:
        bias = None if bias is None else bias.to(x.dtype)
        return reference_depthwise_conv2d(x, weight.to(x.dtype), bias)
    if native.is_preferred(x):
        return native.depthwise_conv2d(x, weight, bias, plus)
    kernels = triton_module("triton_depthwise", x.device) if x.is_cuda else None
    if kernels is not None and kernels.is_preferred(x, *weight.shape[-2:]):
        return kernels.depthwise_conv2d(x, weight, bias)
    y = _LargeKernel.apply(x, weight.to(x.dtype))
    return y if bias is None else y + bias.to(x.dtype).view(-1, 1, 1)


def crop_kernel(weight: Tensor, height: int, width: int) -> Tensor:
    """The central (2 height - 1, 2 width - 1) cells of kernels; others only overlap padding."""
    kh, kw = weight.shape[-2:]
    top, left = max(0, kh // 2 - height + 1), max(0, kw // 2 - width + 1)
    if top == left == 0:
        return weight  # as it is: the gradient of a slice costs a copy
    return weight[..., top : kh - top, left : kw - left]


class _LargeKernel(torch.autograd.Function):
    """Same-size depthwise correlation of (B, C, H, W) with (C, 1, kh, kw)."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _correlate(x, weight)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        if all(ctx.needs_input_grad) and _is_spectral(x):
            return spectral.gradients(x, grad, weight)
        grad_x = _correlate(grad, weight, flip=True) if ctx.needs_input_grad[0] else None
        grad_weight = _weight_gradient(x, grad, weight) if ctx.needs_input_grad[1] else None
        return grad_x, grad_weight


def _is_spectral(x: Tensor) -> bool:
    return x.is_cuda or x.shape[-2] * x.shape[-1] >= SPECTRAL_CELLS


def _weight_gradient(x: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
    small = not x.is_cuda and x.shape[-2] * x.shape[-1] <= PAIRWISE_CELLS
    method = pairwise if small else spectral
    return method.weight_gradient(x, grad, *weight.shape[-2:]).to(weight.dtype)


def _correlate(x: Tensor, weight: Tensor, flip: bool = False) -> Tensor:
    if _is_spectral(x):
        return spectral.correlate(x, weight, flip)
    kernel = weight.flip(-2, -1) if flip else weight
    return reference_depthwise_conv2d(x.contiguous(memory_format=torch.channels_last), kernel)
