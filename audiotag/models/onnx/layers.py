"""Layers of a folded backbone, rewritten so that ONNX runtimes compute them fast."""

from typing import cast

import torch
from torch import Tensor, nn
from torchvision.models.mobilenetv3 import InvertedResidual

from audiotag.backbones.mobilenet import AudioMobileNet
from audiotag.layers.depthwise import DepthwiseConv2d
from audiotag.layers.fusion import SquarePlus
from audiotag.layers.kernels.depthwise import crop_kernel
from audiotag.layers.onednn import Conv2d

# Channels in a block. On a CPU with AVX-512, onnxruntime computes convolutions in such blocks; maps
# of fewer channels are reordered before each layer. Without AVX-512 a block is half as large.
BLOCK = 16
LEAST_HARDSWISH = -3 / 8


def use_plain_convs(backbone: nn.Module, log_mel: Tensor) -> None:
    """Replace same-size depthwise convolutions by PyTorch's own, in place, without the rows of
    their kernels that only overlap padding.

    This fixes the size of the mel axis, but not the number of frames.

    Args:
        backbone: A folded backbone.
        log_mel: Maps (B, 1, n_mels, frames); only their size is used.
    """
    heights: dict[nn.Module, int] = {}
    convs = [module for module in backbone.modules() if isinstance(module, DepthwiseConv2d)]
    for conv in convs:
        conv.register_forward_pre_hook(
            lambda module, inputs: heights.update({module: inputs[0].shape[-2]})
        )
    with torch.no_grad():
        backbone(log_mel)
    for module in list(backbone.modules()):
        for name, child in list(module.named_children()):
            if child in heights:
                setattr(module, name, _plain(cast(DepthwiseConv2d, child), heights[child]))


def _plain(conv: DepthwiseConv2d, height: int) -> nn.Module:
    kernel = crop_kernel(conv.weight, height, conv.kernel_size[1])
    plain = _with_weights(conv, kernel.detach().clone(), conv.bias)
    return plain if conv.plus is None else nn.Sequential(SquarePlus(conv.plus), plain)


def widen_first_block(backbone: nn.Module) -> None:
    """Let the first block of a narrow MobileNetV3 compute on twice the channels, in place.

    This block has no expansion. Let s be the stem's maps, D the block's depthwise convolution, W
    the product after it, and V the first layer of the next block. Then

        V (s + W relu(D s)) = (V, V W) (s, relu(D s)),

    and relu(s + 3/8) - 3/8 = s, since s is the output of a hard swish, at least -3/8. So the stem
    returns s twice, the depthwise convolution takes both (the first with the kernel 1), and one
    product is left. Other backbones, and wider ones, are not changed.
    """
    if not isinstance(backbone, AudioMobileNet):
        return
    stem, block, following = backbone.features[:3]
    if not isinstance(block, InvertedResidual) or not isinstance(following, InvertedResidual):
        return
    layers = stem[0], *(layer[0] for layer in block.block), following.block[0][0]
    if not _is_narrow(layers) or not block.use_res_connect or following.use_res_connect:
        return
    first, depthwise, narrowing, widening = cast(tuple[Conv2d, ...], layers)
    stem[0] = _with_weights(first, *(torch.cat([values, values]) for values in _values(first)))
    block.block[0][0] = _passing(depthwise)
    backbone.features[1] = block.block[0]
    following.block[0][0] = _joined(narrowing, widening)


def _is_narrow(layers: tuple[nn.Module, ...]) -> bool:
    """Whether the four layers are of the expected kind, on maps of at most half a block."""
    if not all(isinstance(layer, Conv2d) and layer.bias is not None for layer in layers):
        return False
    first, depthwise, narrowing, widening = cast(tuple[Conv2d, ...], layers)
    rows, columns = depthwise.kernel_size
    return (
        (first.act, depthwise.act, narrowing.act) == ("hardswish", "relu", "none")
        and 2 * depthwise.out_channels <= BLOCK
        and depthwise.groups == depthwise.in_channels == depthwise.out_channels
        and depthwise.padding == (rows // 2, columns // 2)
        and narrowing.is_pointwise()
        and widening.is_pointwise()
    )


def _passing(depthwise: Conv2d) -> nn.Module:
    """The convolution on twice the channels; it returns the first half of them plus 3/8."""
    weight, bias = _values(depthwise)
    rows, columns = depthwise.kernel_size
    one = torch.zeros_like(weight)
    one[:, :, rows // 2, columns // 2] = 1
    raised = torch.full_like(bias, -LEAST_HARDSWISH)
    return _with_weights(depthwise, torch.cat([one, weight]), torch.cat([raised, bias]))


def _joined(narrowing: Conv2d, widening: Conv2d) -> nn.Module:
    """The product (V, V W), for maps whose first half has 3/8 added."""
    (w, w_bias), (v, v_bias) = (
        [values.double() for values in _values(layer)] for layer in (narrowing, widening)
    )
    w, v = w.flatten(1), v.flatten(1)
    weight = torch.cat([v, v @ w], 1)[:, :, None, None]
    bias = v_bias + v @ (w_bias + LEAST_HARDSWISH)
    dtype = widening.weight.dtype
    return _with_weights(widening, weight.to(dtype), bias.to(dtype))


def _with_weights(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """The same convolution with other weights, for more channels or a smaller kernel."""
    kernel = rows, columns = weight.shape[-2], weight.shape[-1]
    cut = conv.kernel_size[0] - rows, conv.kernel_size[1] - columns
    padding = cast(tuple[int, int], conv.padding)
    groups = 1 if conv.groups == 1 else len(weight)
    made = nn.Conv2d(
        weight.shape[1] * groups,
        len(weight),
        kernel,
        cast(tuple[int, int], conv.stride),
        (padding[0] - cut[0] // 2, padding[1] - cut[1] // 2),
        groups=groups,
        bias=bias is not None,
        device="meta",
    )
    made.weight = nn.Parameter(weight)
    made.bias = None if bias is None else nn.Parameter(bias)
    return Conv2d.of(made, conv.act) if isinstance(conv, Conv2d) else made


def _values(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias."""
    assert conv.bias is not None
    return conv.weight.detach(), conv.bias.detach()
