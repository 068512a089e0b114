"""Replacing a model's convolutions, in place, by convolutions with learnable spacings."""

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from audiotag.errors import ModelError
from audiotag.layers.dcls import VERSIONS, DclsConv2d, interpolate, share_positions

INITS = ("random", "dense")
KERNEL_COUNT = 26  # elements of a random start, arXiv 2309.13972
WEIGHT_STD = 0.02
# How far, in grid cells, the elements of a dense start lie off the grid, towards the centre.
# - Gaussian: on the grid, the smallest sigma gives a thousandth of the weight to the next cell. At
#   the border that lies outside the dense kernel, and changes the logits of resnet18 and
#   efficientnet_b0 by 1-4 %; with this distance, by 4e-6.
# - Bilinear and triangle: an element on the grid has no gradient, and would never move.
INWARD = {"gauss": 0.4, "v1": 1e-3, "max": 1e-3}
DENSE_SIGMA = 1e-3  # raw; the kernel has its absolute value, which has no gradient at zero


@dataclass(frozen=True)
class DclsArguments:
    """The form of the DCLS convolutions that replace others.

    Attributes:
        kernel_size: Rows and columns that elements can move over; odd.
        kernel_count: Elements of a kernel. The default is 26; for a dense start, the number of
            weights of the dense kernel.
        version: Interpolation: "gauss", "v1" (bilinear) or "max" (triangle).
        share: Whether consecutive convolutions with the same number of channels share their
            positions and sigmas.
        init: "random", or "dense": elements on the grid of the dense kernel, weighted so that the
            model computes the same as before.
    """

    kernel_size: int = 23
    kernel_count: int | None = None
    version: str = "gauss"
    share: bool = True
    init: str = "random"

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise ModelError(
                f"DCLS version {self.version!r} is unknown; choose one of {', '.join(VERSIONS)}"
            )
        if self.init not in INITS:
            raise ModelError(
                f"DCLS init {self.init!r} is unknown; choose one of {', '.join(INITS)}"
            )
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ModelError(f"DCLS kernel_size must be odd, got {self.kernel_size}")
        if self.kernel_count is not None and self.kernel_count < 1:
            raise ModelError(f"DCLS kernel_count must be positive, got {self.kernel_count}")


def take_dcls_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Take the fields of `DclsArguments` out of a builder's arguments, and return them."""
    return {f.name: arguments.pop(f.name) for f in fields(DclsArguments) if f.name in arguments}


def swap_convs(
    model: nn.Module, *, match_kernel: int | None = None, depthwise: bool = True, **arguments: Any
) -> list[str]:
    """Replace convolutions of `model` by DCLS ones of the same stride, groups and output size.

    Only plain `nn.Conv2d` with a square odd kernel are replaced, padded with zeros to the same
    size and not dilated.

    Args:
        model: Changed in place.
        match_kernel: Side of the kernels to replace; if None, all that are larger than 1x1.
        depthwise: Whether to replace depthwise convolutions only.
        arguments: Fields of `DclsArguments`.

    Returns:
        Names of the convolutions replaced, in the model's order.

    Raises:
        ModelError: If no convolution can be replaced, or an argument is out of its range.
    """
    spec = DclsArguments(**arguments)
    names = [
        name
        for name, module in model.named_modules()
        if name and _is_replaceable(module) and _matches(module, match_kernel, depthwise)
    ]
    if not names:
        raise ModelError(_nothing_matches(model, match_kernel, depthwise))
    convs = [_dcls_like(model.get_submodule(name), name, spec) for name in names]
    for previous, conv in pairwise(convs):
        if spec.share and previous.P.shape == conv.P.shape:
            share_positions((previous, conv))
    for name, conv in zip(names, convs, strict=True):
        model.set_submodule(name, conv)
    return names


def _is_replaceable(module: nn.Module) -> bool:
    if type(module) is not nn.Conv2d:  # subclasses compute something else
        return False
    rows, columns = module.kernel_size
    return (
        rows == columns
        and rows % 2 == 1
        and module.padding == (rows // 2, rows // 2)
        and module.padding_mode == "zeros"
        and module.dilation == (1, 1)
    )


def _matches(module: nn.Module, match_kernel: int | None, depthwise: bool) -> bool:
    if not isinstance(module, nn.Conv2d):
        return False
    size = module.kernel_size[0]
    if depthwise and not _is_depthwise(module):
        return False
    return size > 1 if match_kernel is None else size == match_kernel


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return conv.groups == conv.in_channels == conv.out_channels


def _nothing_matches(model: nn.Module, match_kernel: int | None, depthwise: bool) -> str:
    """The message for a model without a convolution to replace."""
    if any(isinstance(module, DclsConv2d) for module in model.modules()):
        return (
            f"{type(model).__name__} has DCLS convolutions already: set model.args.kernel_size, "
            "model.args.kernel_count or model.args.version, or name its architecture without dcls"
        )
    kinds = {
        f"{'depthwise' if _is_depthwise(conv) else 'dense'} {size}x{size}"
        for conv in model.modules()
        if isinstance(conv, nn.Conv2d) and _is_replaceable(conv)
        for size in conv.kernel_size[:1]
        if size > 1
    }
    wanted = "depthwise convolution" if depthwise else "convolution"
    size = "" if match_kernel is None else f" of kernel {match_kernel}x{match_kernel}"
    return (
        f"{type(model).__name__} has no {wanted}{size} that DCLS can replace; it has "
        f"{', '.join(sorted(kinds)) or 'none at all'}: change match_kernel or depthwise"
    )


def _dcls_like(conv: nn.Module, name: str, spec: DclsArguments) -> DclsConv2d:
    """The DCLS convolution that replaces a plain one."""
    assert isinstance(conv, nn.Conv2d)
    size = conv.kernel_size[0]
    if spec.init == "dense":
        _check_dense(size, name, spec)
    count = size**2 if spec.init == "dense" else spec.kernel_count or KERNEL_COUNT
    dcls = DclsConv2d(
        conv.in_channels,
        conv.out_channels,
        count,
        stride=conv.stride,
        padding=spec.kernel_size // 2,
        dilated_kernel_size=spec.kernel_size,
        groups=conv.groups,
        bias=conv.bias is not None,
        version=spec.version,
    )
    with torch.no_grad():
        _start_random(dcls) if spec.init == "random" else _start_dense(dcls, conv)
    return dcls.to(conv.weight)


def _check_dense(size: int, name: str, spec: DclsArguments) -> None:
    if spec.kernel_count not in (None, size**2):
        raise ModelError(
            f"DCLS kernel_count {spec.kernel_count} does not fit init = 'dense': {name} has "
            f"{size**2} weights a kernel; leave kernel_count out"
        )
    if spec.kernel_size < size:
        raise ModelError(
            f"DCLS kernel_size {spec.kernel_size} is smaller than the {size}x{size} kernel of "
            f"{name}, which init = 'dense' starts from; make it {size} or more"
        )


def _start_random(dcls: DclsConv2d) -> None:
    """Draw weights as arXiv 2309.13972; the positions are those that the dcls package draws."""
    nn.init.normal_(dcls.weight, std=WEIGHT_STD)
    if dcls.bias is not None:
        nn.init.zeros_(dcls.bias)


def _start_dense(dcls: DclsConv2d, conv: nn.Conv2d) -> None:
    """Put elements on the grid of the dense kernel, weighted so that they add up to it.

    An element also contributes to the cells beside its own. Row k of a small matrix B has the
    contributions of element k along one side. Weights W then build the kernel B^T W B, so
    W = B^-T dense B^-1.
    """
    offsets = _grid(conv.kernel_size[0], dcls.version)
    blur = _blur(offsets, dcls)
    inverse = torch.linalg.inv(blur)
    weights = inverse.T @ conv.weight.detach().cpu().double() @ inverse
    dcls.weight.copy_(weights.flatten(-2))
    dcls.P[0].copy_(offsets.repeat(len(offsets)))
    dcls.P[1].copy_(offsets.repeat_interleave(len(offsets)))
    if dcls.SIG is not None:
        dcls.SIG.fill_(DENSE_SIGMA)
    if conv.bias is not None:
        dcls.bias.copy_(conv.bias)


def _grid(size: int, version: str) -> Tensor:
    """Positions (size,) of the elements along one side of a dense kernel, from the centre."""
    offsets = torch.arange(size, dtype=torch.float64) - size // 2
    offsets -= offsets.sign() * INWARD[version]
    if version != "gauss":
        offsets[size // 2] = INWARD[version]
    return offsets


def _blur(offsets: Tensor, dcls: DclsConv2d) -> Tensor:
    """Contribution (element, cell) of each element along one side to the dense kernel's cells."""
    size, cells = len(offsets), dcls.dilated_kernel_size[0]
    sigmas = torch.full_like(offsets, DENSE_SIGMA)
    weights = interpolate(offsets, sigmas, cells, dcls.version)
    start = cells // 2 - size // 2
    return (weights / weights.sum(-1, keepdim=True))[:, start : start + size]
