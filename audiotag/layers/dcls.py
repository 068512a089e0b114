"""Dilated convolution with learnable spacings, with the parameters of the `dcls` package.

The package builds a kernel from a tensor (rows, columns, elements, channels). Each of its
interpolations is separable: a function of the row times a function of the column. So a product of
small matrices gives the same kernel. For the elements k of one channel,

    kernel = A^T diag(w_k / (sum A_k * sum B_k + 1e-7)) B

where A (k, rows) and B (k, columns) are the one-dimensional interpolations: the bilinear one of
arXiv 2111.03881, the Gaussian and the triangle of arXiv 2306.00817.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from DCLS.construct.modules import Dcls2d
from torch import Tensor, nn

from audiotag.layers.depthwise import DepthwiseConv2d
from audiotag.layers.kernels.availability import triton_module
from audiotag.layers.kernels.depthwise import depthwise_conv2d

VERSIONS = ("gauss", "v1", "max")
# In grid cells: no element becomes narrower than one cell.
MIN_SIGMA = {"gauss": 0.27, "max": 1.0, "v1": 0.0}
NORM_EPS = 1e-7
# Below this exponent a Gaussian counts as zero. The product of two such values would be subnormal:
# many CPUs compute a hundred times more slowly with those, and the sum would lose it anyway.
LEAST_EXPONENT = -40.0


def interpolate(position: Tensor, sigma: Tensor | None, size: int, version: str) -> Tensor:
    """One-dimensional interpolation of each element over a grid of `size` cells.

    Args:
        position: Signed distances from the centre (..., K), in grid cells.
        sigma: Raw widths (..., K); unused by "v1".
        size: Cells of the grid.
        version: "gauss", "v1" (bilinear) or "max" (triangle).

    Returns:
        Unnormalised weights (..., K, size).
    """
    grid = torch.arange(size, device=position.device, dtype=position.dtype)
    distance = grid - (position + size // 2).unsqueeze(-1)
    if version == "v1":
        return (1 - distance.abs()).relu()
    assert sigma is not None
    width = (sigma.abs() + MIN_SIGMA[version]).unsqueeze(-1)
    if version == "max":
        return (width - distance.abs()).relu()
    exponent = -0.5 * (distance * width.reciprocal()).square()
    value = exponent.clamp(min=LEAST_EXPONENT - 1).exp()  # slow where it is subnormal
    return nn.functional.threshold(value, math.exp(LEAST_EXPONENT), 0.0)


def build_basis(
    positions: Tensor, sigmas: Tensor | None, size: tuple[int, int], version: str
) -> tuple[Tensor, Tensor]:
    """The interpolations that kernels are built from: A^T, and B divided by each element's norm.

    Args:
        positions: Element positions (2, O, I, K): column, then row, from the centre.
        sigmas: Raw widths of the same shape, or nothing for "v1".
        size: Rows and columns of the kernel.
        version: "gauss", "v1" or "max".

    Returns:
        Rows (O, I, size[0], K) and columns (O, I, K, size[1]).
    """
    column_sigma, row_sigma = (None, None) if sigmas is None else sigmas.unbind(0)
    rows = interpolate(positions[1], row_sigma, size[0], version)
    columns = interpolate(positions[0], column_sigma, size[1], version)
    norm = rows.sum(-1) * columns.sum(-1) + NORM_EPS
    return rows.transpose(-1, -2), columns * norm.reciprocal().unsqueeze(-1)


class SharedBasis:
    """The bases (`build_basis`) of convolutions that share positions, computed once a pass.

    The first convolution of a pass computes them. The others reuse them, until the positions
    change or their gradient is computed.
    """

    def __init__(self) -> None:
        self._first: nn.Module | None = None
        self._state: tuple | None = None
        self._basis: tuple[Tensor, Tensor] | None = None

    def __deepcopy__(self, memo: dict) -> "SharedBasis":
        return SharedBasis()  # tensors with a gradient history cannot be copied

    def __reduce__(self) -> tuple:
        return SharedBasis, ()

    def get(self, conv: "DclsConv2d") -> tuple[Tensor, Tensor]:
        """The bases for one of the convolutions, as `build_basis` returns them."""
        if torch.compiler.is_compiling():  # the compiler drops repeated work by itself
            return build_basis(conv.P, conv.SIG, conv.dilated_kernel_size, conv.version)
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        version = None if conv.P.is_inference() else conv.P._version
        state = (id(conv.P), version, conv.P.device, conv.P.dtype, *modes)
        if self._basis is None or conv is self._first or state != self._state:
            basis = build_basis(conv.P, conv.SIG, conv.dilated_kernel_size, conv.version)
            self._first, self._state, self._basis = conv, state, basis
            if basis[0].requires_grad:
                basis[0].register_hook(self._forget)
        return self._basis

    def _forget(self, grad: Tensor) -> None:
        self._basis = None


class DclsConv2d(Dcls2d):
    """`Dcls2d` of the dcls package, with the same parameters and state-dict keys, built faster.

    Args: as `Dcls2d`; `version` is one of "gauss", "v1", "max".

    Raises:
        ValueError: If the version is unknown.
    """

    def __init__(self, *args: Any, version: str = "gauss", **kwargs: Any) -> None:
        if version not in VERSIONS:
            raise ValueError(f"DCLS version must be one of {', '.join(VERSIONS)}, got {version!r}")
        with _silent_root_logger():
            super().__init__(*args, version=version, **kwargs)
        self.basis = SharedBasis()

    def kernel(self) -> Tensor:
        """Dense kernel (O, I / groups, rows, columns), in single precision at least."""
        size = self.dilated_kernel_size
        triton = None if torch.compiler.is_compiling() else _triton(self.weight, size)
        if triton is not None:
            width = MIN_SIGMA[self.version]
            return triton.construct(
                self.weight, self.P, self.SIG, size, self.version, width, NORM_EPS
            )
        with torch.autocast(self.weight.device.type, enabled=False):
            rows, columns = self.basis.get(self)
            return rows @ (columns * self.weight.unsqueeze(-1))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps (B, I, H, W) to (B, O, H', W')."""
        if self._is_same_depthwise():
            return depthwise_conv2d(x, self.kernel(), self.bias)
        kernel = self.kernel()
        return nn.functional.conv2d(
            x, kernel, self.bias, self.stride, self.padding, groups=self.groups
        )

    def fold(self) -> nn.Conv2d:
        """The plain convolution that computes the same, at the current positions."""
        conv = self.plain()
        with torch.no_grad():
            conv.weight.copy_(self.kernel())
            if conv.bias is not None:
                conv.bias.copy_(self.bias)
        return conv

    def plain(self) -> nn.Conv2d:
        """A plain convolution of the same shape, with weights of its own."""
        cls = DepthwiseConv2d if self._is_same_depthwise() else nn.Conv2d
        return cls(
            self.in_channels,
            self.out_channels,
            self.dilated_kernel_size,
            self.stride,
            self.padding,
            groups=self.groups,
            bias=self.bias is not None,
            device=self.weight.device,
            dtype=self.weight.dtype,
        )

    def _is_same_depthwise(self) -> bool:
        rows, columns = self.dilated_kernel_size
        return (
            self.in_channels == self.out_channels == self.groups
            and self.stride == (1, 1)
            and self.padding == (rows // 2, columns // 2)
            and rows % 2 == columns % 2 == 1
        )


def _triton(weight: Tensor, size: tuple[int, int]) -> ModuleType | None:
    """The Triton module that builds kernels of this size in one launch; None if it cannot."""
    module = triton_module("triton_construct", weight.device)
    return module if module is not None and module.is_preferred(weight, size) else None


def share_positions(convs: Iterable[DclsConv2d]) -> None:
    """Make convolutions of equal shape use the first one's positions and sigmas."""
    first, *others = convs
    for conv in others:
        conv.P, conv.SIG, conv.basis = first.P, first.SIG, first.basis


def fold_dcls(
    model: nn.Module, form: Callable[[DclsConv2d], nn.Conv2d] = DclsConv2d.fold
) -> nn.Module:
    """Replace, in place, every DCLS convolution of `model` by its folded form."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, DclsConv2d):
                setattr(module, name, form(child))
    return model


def clamp_positions(model: nn.Module) -> None:
    """Move positions that training has put outside the kernel back to its edge."""
    convs = (module for module in model.modules() if isinstance(module, DclsConv2d))
    for conv in {id(conv.P): conv for conv in convs}.values():  # once where they are shared
        conv.clamp_parameters()


@contextmanager
def _silent_root_logger() -> Iterator[None]:
    """Suppress the package's messages about its CUDA extension, and the handler they would add."""
    root, handler = logging.getLogger(), logging.NullHandler()
    level = root.manager.disable
    root.addHandler(handler)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
        root.removeHandler(handler)
