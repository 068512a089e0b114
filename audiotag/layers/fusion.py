"""Norms, scales, activations and residual sums fused into the layers beside them, for inference."""

from collections.abc import Iterator
from itertools import pairwise
from typing import cast

import torch
from timm.layers import GELU, BatchNormAct2d, ConvNormAct, Mlp
from timm.models.convnext import ConvNeXtBlock
from timm.models.fastvit import AttentionBlock, ConvMlp, LayerScale2d, RepMixerBlock
from timm.models.metaformer import SepConv, StarReLU
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from audiotag.layers.depthwise import DepthwiseConv2d
from audiotag.layers.onednn import Conv2d, Linear, is_plain


def merge_batch_norms(model: nn.Module) -> None:
    """Merge batch norms into the convolutions right before them, in place."""
    for module in list(model.modules()):
        if isinstance(module, ConvNormAct) and type(module.bn) is BatchNormAct2d:
            if _merge_batch_norm(module.conv, module.bn):
                module.bn = nn.Sequential(module.bn.drop, module.bn.act)
        elif isinstance(module, nn.Sequential):
            for (_, layer), (name, norm) in pairwise(list(module.named_children())):
                if type(norm) is nn.BatchNorm2d and _merge_batch_norm(layer, norm):
                    setattr(module, name, nn.Identity())


def _merge_batch_norm(conv: nn.Module, norm: nn.BatchNorm2d) -> bool:
    """Merge a norm into the layer before it. False, and nothing changes, if that is not a
    convolution or the norm has no fixed statistics."""
    if not isinstance(conv, nn.Conv2d) or norm.running_mean is None or norm.running_var is None:
        return False
    mean, variance = norm.running_mean, norm.running_var
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
    )
    return True


def merge_layer_scales(model: nn.Module) -> None:
    """Merge layer scales into the weights of the layers before them, in place."""
    for block in model.modules():
        if isinstance(block, ConvNeXtBlock) and block.gamma is not None:
            _scale_outputs(block.mlp.fc2, block.gamma)
            block.gamma = None
        elif isinstance(block, RepMixerBlock | AttentionBlock):
            for name, layer in _scaled_layers(block):
                if isinstance(scale := getattr(block, name), LayerScale2d):
                    _scale_outputs(layer, scale.gamma.flatten())
                    setattr(block, name, nn.Identity())


def _scaled_layers(block: RepMixerBlock | AttentionBlock) -> Iterator[tuple[str, nn.Module]]:
    """Names of the layer scales of a FastViT block, each with the layer before it."""
    if isinstance(block, RepMixerBlock):
        yield "layer_scale", block.mlp.fc2
    else:
        yield "layer_scale_1", block.token_mixer.proj
        yield "layer_scale_2", block.mlp.fc2


@torch.no_grad()
def _scale_outputs(layer: nn.Module, scale: Tensor) -> None:
    """Scale the output of a linear layer or a 1x1 convolution by one value, or by (O,) values."""
    weight, bias = cast(Tensor, layer.weight), cast(Tensor | None, layer.bias)
    weight.mul_(scale.reshape(-1, *[1] * (weight.ndim - 1)))
    if bias is not None:
        bias.mul_(scale)


def merge_activations(model: nn.Module) -> None:
    """Merge activations into the linear layers and convolutions before them, in place.

    Linear layers and 1x1 convolutions without an activation are computed by oneDNN too.

    A StarReLU (arXiv 2210.13452) is s relu(x)^2 + b. Before a linear layer, s and b are merged
    into that layer, and only relu(x)^2 is left. A depthwise convolution that pads with zeros
    cannot take b: there, the root of |s| is merged into the layer before the StarReLU, the sign of
    s into the convolution, and b becomes the convolution's `plus`.
    """
    for module in list(model.modules()):
        if isinstance(module, Mlp | ConvMlp) and _takes_activation(module.fc1):
            _merge_into_mlp(module)
        elif isinstance(module, SepConv) and _takes_activation(module.pwconv1):
            if isinstance(module.act1, StarReLU):
                _merge_into_sep_conv(module)
        elif isinstance(module, nn.Sequential):
            _merge_into_sequence(module)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            setattr(module, name, _fast(child))


def _merge_into_mlp(mlp: Mlp | ConvMlp) -> None:
    act = _name_of(mlp.act)
    if isinstance(mlp.act, StarReLU) and isinstance(mlp.norm, nn.Identity):
        mlp.fc2.bias = _with_star(mlp.fc2, mlp.act)
        act = "squared_relu"
    if act is not None:
        mlp.fc1, mlp.act = cast(nn.Conv2d, _fast(mlp.fc1, act)), nn.Identity()


@torch.no_grad()
def _with_star(layer: nn.Module, star: StarReLU) -> nn.Parameter:
    """Merge a StarReLU's scale into the weights of the layer after it, and return that layer's
    bias with the StarReLU's merged in."""
    weight, bias = cast(Tensor, layer.weight), cast(Tensor | None, layer.bias)
    constant = star.bias * weight.flatten(1).sum(1)
    weight.mul_(star.scale)
    return nn.Parameter(constant if bias is None else bias + constant)


@torch.no_grad()
def _merge_into_sep_conv(mixer: SepConv) -> None:
    star = cast(StarReLU, mixer.act1)
    sign = torch.where(star.scale < 0, -1.0, 1.0)
    plus = nn.Parameter(sign * star.bias)
    _scale_outputs(mixer.pwconv1, star.scale.abs().sqrt())
    mixer.dwconv.weight.mul_(sign)
    mixer.pwconv1 = cast(nn.Conv2d, _fast(mixer.pwconv1, "relu"))
    if isinstance(mixer.dwconv, DepthwiseConv2d):  # squares by itself
        mixer.act1, mixer.dwconv.plus = nn.Identity(), plus
    else:
        mixer.act1 = SquarePlus(plus)


def _merge_into_sequence(layers: nn.Sequential) -> None:
    """Merge activations into the layers right before them; identities between are ignored."""
    steps = [x for x in layers.named_children() if not isinstance(x[1], nn.Identity)]
    for (name, layer), (act_name, act) in pairwise(steps):
        if _takes_activation(layer) and (known := _name_of(act)):
            setattr(layers, name, _fast(layer, known))
            setattr(layers, act_name, nn.Identity())


def _takes_activation(layer: nn.Module) -> bool:
    return type(layer) is nn.Linear or is_plain(layer)


def _fast(layer: nn.Module, act: str = "none") -> nn.Module:
    """The layer computed by oneDNN, if it is a linear layer, a 1x1 convolution, or a convolution
    with an activation; any other layer as it is."""
    if type(layer) is nn.Linear:
        return Linear.of(layer, act)
    if is_plain(layer) and (layer.kernel_size == (1, 1) or act != "none"):
        return Conv2d.of(cast(nn.Conv2d, layer), act)
    return layer


def _name_of(act: nn.Module) -> str | None:
    """The name in `ACTIVATIONS` of an activation, if it has one."""
    if type(act) is GELU or (type(act) is nn.GELU and act.approximate == "none"):
        return "gelu"
    return {nn.ReLU: "relu", nn.Hardswish: "hardswish"}.get(type(act))


def merge_residuals(model: nn.Module) -> None:
    """Let the last linear layer of each ConvNeXt block add the block's input, in place."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is ConvNeXtBlock and ResidualBlock.fits(child):
                setattr(module, name, ResidualBlock(child))


class ResidualBlock(nn.Module):
    """A ConvNeXt block, in inference, whose last layer adds the block's input.

    Args:
        block: The block whose layers it uses; it must pass `fits`.
    """

    def __init__(self, block: ConvNeXtBlock) -> None:
        super().__init__()
        self.conv_dw, self.norm, self.mlp = block.conv_dw, block.norm, block.mlp

    @staticmethod
    def fits(block: ConvNeXtBlock) -> bool:
        """Whether a block has linear layers, and computes nothing else between or after them."""
        mlp, nothing = block.mlp, nn.Identity
        between = (block.shortcut, mlp.act, mlp.norm) if type(mlp) is Mlp else (mlp,)
        return (
            not block.use_conv_mlp
            and block.gamma is None
            and all(type(module) is nothing for module in between)
            and isinstance(mlp.fc2, Linear)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        mixed = self.mlp.fc1(self.norm(self.conv_dw(x).permute(0, 2, 3, 1)))
        return self.mlp.fc2(mixed, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SquarePlus(nn.Module):
    """x^2 + plus, with one value `plus` (1,) for all x; in place in inference."""

    def __init__(self, plus: nn.Parameter) -> None:
        super().__init__()
        self.plus = plus

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; computed in the type of `x`, as mixed types take seven times as long."""
        kept = torch.is_grad_enabled() or torch.jit.is_tracing() or torch.compiler.is_compiling()
        return torch.addcmul(self.plus.to(x.dtype), x, x, out=None if kept else x)
