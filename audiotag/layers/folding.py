"""A trained model becomes a simpler, faster one that computes the same."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from timm.models.fastvit import (
    MobileOneBlock,
    ReparamLargeKernelConv,
    RepConditionalPosEnc,
    RepMixer,
)
from timm.utils import reparameterize_model
from torch import nn

from audiotag.layers.dcls import DclsConv2d, fold_dcls
from audiotag.layers.depthwise import DepthwiseConv2d
from audiotag.layers.fusion import (
    merge_activations,
    merge_batch_norms,
    merge_layer_scales,
    merge_residuals,
)
from audiotag.layers.kernels.depthwise import DIRECT_KERNEL_AREA

MERGING_METHODS = ("fuse", "reparameterize", "switch_to_deploy")  # what timm's blocks call it
# A cell below this fraction of the kernel's absolute sum is lost when the sum is rounded.
NEGLIGIBLE = 1e-8
SMALLEST_SIDE = 7  # smaller kernels are no faster
FASTVIT_BLOCKS = (MobileOneBlock, RepConditionalPosEnc, RepMixer, ReparamLargeKernelConv)


def fold(model: nn.Module) -> nn.Module:
    """Simplify a trained model, in place; in evaluation mode it computes the same as before.

    1. Each DCLS convolution becomes a plain one, with the kernel of its current positions.
    2. timm's blocks of several branches, or of convolution and batch norm, become one convolution
       each. Of blocks with DCLS convolutions only FastViT's are merged: others rely on the kernel
       size that they were built with.
    3. Batch norms, layer scales, activations and ConvNeXt's residual sums are moved into the
       layers beside them (`fusion`).

    Returns:
        `model`, whose attribute `is_folded` is now true; a folded model is returned unchanged.
    """
    if getattr(model, "is_folded", False):
        return model
    blocks = [module for module in model.modules() if _is_mergeable(module)]
    with_dcls = [block for block in blocks if _has_dcls(block)]
    fold_dcls(model)
    if all(isinstance(block, FASTVIT_BLOCKS) for block in with_dcls):
        for block in blocks:
            _update_kernel_size(block)
        with torch.no_grad():
            reparameterize_model(model, inplace=True)
    merge_batch_norms(model)
    merge_layer_scales(model)
    merge_activations(model)
    merge_residuals(model)
    _use_cropped_kernels(model)
    model.is_folded = True  # type: ignore[assignment]
    return model


def take_folded_form(model: nn.Module, shapes: Mapping[str, torch.Size]) -> nn.Module:
    """Give a new model on the meta device, in place, the layers of a folded one.

    Args:
        model: Has no values; none are computed.
        shapes: Shapes of the folded model's weights by name; they tell how far each kernel was
            trimmed.

    Returns:
        `model`.
    """
    fold_dcls(model, DclsConv2d.plain)
    fold(model.eval())
    for name, module in model.named_modules():
        shape = shapes.get(f"{name}.weight", torch.Size())
        if isinstance(module, nn.Conv2d) and len(shape) == module.weight.ndim:
            for axis in (-2, -1):
                cut = (module.kernel_size[axis] - shape[axis]) // 2
                if cut > 0:
                    _cut(module, axis, cut)
    return model


def _is_mergeable(module: nn.Module) -> bool:
    return any(hasattr(module, method) for method in MERGING_METHODS)


def _has_dcls(module: nn.Module) -> bool:
    return any(isinstance(part, DclsConv2d) for part in module.modules())


def _update_kernel_size(block: nn.Module) -> None:
    """Set the kernel size that a FastViT block remembers to the one its convolutions have now."""
    if isinstance(block, RepMixer):
        size = _side(block.mixer.conv_kxk[0])
        block.kernel_size = block.mixer.kernel_size = block.norm.kernel_size = size
    elif isinstance(block, ReparamLargeKernelConv):
        block.kernel_size = _side(block.large_conv)
        block.small_kernel = _side(block.small_conv)
    elif isinstance(block, RepConditionalPosEnc):
        block.spatial_shape = cast(tuple[int, int], block.pos_enc.kernel_size)
    elif isinstance(block, MobileOneBlock) and block.conv_kxk is not None:
        block.kernel_size = _side(block.conv_kxk[0])


def _side(branch: Any) -> int:
    """Kernel size of one of timm's pairs of convolution and norm."""
    return branch.conv.kernel_size[0]


def _use_cropped_kernels(model: nn.Module) -> None:
    """Trim large kernels, in place, to the cells that are not zero in single precision; depthwise
    convolutions then also crop them to the size of the map (`DepthwiseConv2d`)."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d) and _is_large(child):
                _trim(child)
                if type(child) is nn.Conv2d and _is_depthwise(child):
                    setattr(module, name, _cropping(child))


def _is_large(conv: nn.Conv2d) -> bool:
    """Whether it has a large kernel, and its output has the size of its input."""
    rows, columns = conv.kernel_size
    return (
        rows * columns > DIRECT_KERNEL_AREA
        and rows % 2 == columns % 2 == 1
        and conv.padding == (rows // 2, columns // 2)
        and conv.padding_mode == "zeros"
        and conv.dilation == (1, 1)
    )


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return conv.groups == conv.in_channels == conv.out_channels and conv.stride == (1, 1)


def _trim(conv: nn.Conv2d) -> None:
    """Trim a kernel, in place, to the rows and columns around its centre that matter."""
    if conv.weight.is_meta:
        return  # has no values
    size = conv.weight.abs()
    matters = size > NEGLIGIBLE * size.sum((-2, -1), keepdim=True)
    with torch.no_grad():
        conv.weight.masked_fill_(~matters, 0)  # some are subnormal, with which a CPU is slow
    for axis in (-2, -1):
        side = conv.kernel_size[axis]
        used = matters.movedim(axis, -1).flatten(0, -2).any(0).nonzero()
        reach = int((used - side // 2).abs().max()) if len(used) else 0
        cut = min(side // 2 - reach, (side - SMALLEST_SIDE) // 2)
        if cut > 0:
            _cut(conv, axis, cut)


def _cut(conv: nn.Conv2d, axis: int, cut: int) -> None:
    """Take `cut` cells off both ends of an axis of the kernel, and off the padding."""
    kept = conv.weight.shape[axis] - 2 * cut
    conv.weight = nn.Parameter(conv.weight.detach().narrow(axis, cut, kept).contiguous())
    sizes, paddings = list(conv.kernel_size), list(cast(tuple[int, int], conv.padding))
    sizes[axis] -= 2 * cut
    paddings[axis] -= cut
    conv.kernel_size, conv.padding = (sizes[0], sizes[1]), (paddings[0], paddings[1])


def _cropping(conv: nn.Conv2d) -> DepthwiseConv2d:
    """A convolution with the same parameters that crops its kernel to the map."""
    cropping = DepthwiseConv2d(
        conv.in_channels,
        conv.out_channels,
        cast(tuple[int, int], conv.kernel_size),
        padding=cast(tuple[int, int], conv.padding),
        groups=conv.groups,
        bias=conv.bias is not None,
        device="meta",
    )
    cropping.weight, cropping.bias = conv.weight, conv.bias
    return cropping.train(conv.training)
