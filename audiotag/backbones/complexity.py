"""The cost of a model: number of parameters, and of multiply-accumulates for a clip."""

from typing import cast

import timm
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from audiotag.layers.dcls import DclsConv2d, fold_dcls
from audiotag.layers.depthwise import DepthwiseConv2d
from audiotag.layers.folding import fold


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of a forward pass of a folded model, with kernels of full size.

    Convolutions, linear layers and attention are counted.

    Args:
        model: May be on the meta device. Changed in place: its depthwise convolutions become
            PyTorch's own.
        shape: Shape of the maps, (1, 1, mels, frames).
    """
    for module in model.modules():
        if isinstance(module, DepthwiseConv2d):  # else an FFT would be counted
            module.forward = nn.Conv2d.forward.__get__(module)  # type: ignore[method-assign]
    device = next(model.parameters()).device
    plain = sdpa_kernel(SDPBackend.MATH)  # fused attention is not counted
    with FlopCounterMode(display=False) as counter, plain, torch.no_grad():
        model.eval()(torch.zeros(shape, device=device))
    return cast(int, counter.get_total_flops()) // 2


def describe(architecture: str, num_classes: int = 527) -> tuple[int, int]:
    """Parameters of an architecture, and multiply-accumulates for a clip of 10 s. The weights are
    not allocated."""
    with torch.device("meta"):
        model = timm.create_model(architecture, num_classes=num_classes)
        parameters = count_parameters(model)
        size = cast(dict, model.default_cfg)["input_size"]
        # Only shapes matter, and the meta device cannot build kernels.
        fold_dcls(model, DclsConv2d.plain)
        return parameters, count_macs(fold(model.eval()), (1, *size))
