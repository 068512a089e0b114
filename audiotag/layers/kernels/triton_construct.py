"""Kernels of dilated convolutions with learnable spacings built on a GPU, in Triton.

`audiotag.layers.dcls` does the same in a few operations of PyTorch; here, forward and backward take
one launch each. A model builds dozens of kernels in a training step, each so small that a launch
takes longer than the work. A Triton program builds one kernel (rows, columns) from its K elements,
in single precision.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from audiotag.layers.kernels.triton_launch import Kernel

SMALLEST = 16  # side of a matrix that Triton multiplies
LARGEST = 64  # number of elements, rows or columns that fits a program


def is_preferred(weight: Tensor, size: tuple[int, int]) -> bool:
    """Whether this module can and should build kernels of this size."""
    return weight.dtype == torch.float32 and max(weight.shape[-1], *size) <= LARGEST


def construct(
    weight: Tensor,
    positions: Tensor,
    sigmas: Tensor | None,
    size: tuple[int, int],
    version: str,
    min_sigma: float,
    eps: float,
) -> Tensor:
    """Kernels (O, I, rows, columns); arXiv 2306.00817.

    Args:
        weight: Weight of each element (O, I, K).
        positions: Column, then row, from the centre (2, O, I, K).
        sigmas: Raw widths of the same shape, or nothing for "v1".
        size: Rows and columns of the kernels.
        version: "gauss", "v1" (bilinear) or "max" (triangle).
        min_sigma: Added to the absolute values of `sigmas`.
        eps: Added to an element's sum over the kernel, by which it is divided.
    """
    return _Construct.apply(weight, positions, sigmas, size, version, min_sigma, eps)


class _Construct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight, positions, sigmas, size, version, min_sigma, eps) -> Tensor:
        inputs = [x.contiguous() for x in (weight, positions, sigmas) if x is not None]
        ctx.save_for_backward(*inputs)
        ctx.constants = {
            "VERSION": version, "MIN_SIGMA": min_sigma, "EPS": eps,
            "K": _side(weight.shape[-1]), "ROWS": _side(size[0]), "COLUMNS": _side(size[1]),
        }  # fmt: skip
        kernel = weight.new_empty((*weight.shape[:2], *size))
        count, elements = weight.shape[0] * weight.shape[1], weight.shape[2]
        with torch.cuda.device_of(weight):
            _BUILD.launch(
                *(count, inputs[0], inputs[1], inputs[-1], kernel),
                *(count, elements, *size),
                **ctx.constants,
            )
        return kernel

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        grads = [torch.empty_like(x) for x in inputs]
        weight, size = inputs[0], grad.shape[-2:]
        count, elements = weight.shape[0] * weight.shape[1], weight.shape[2]
        with torch.cuda.device_of(weight):
            _DIFFERENTIATE.launch(
                *(count, inputs[0], inputs[1], inputs[-1], grad.contiguous()),
                *(grads[0], grads[1], grads[-1], count, elements, *size),
                **ctx.constants,
            )
        return *grads, *[None] * (7 - len(grads))


def _side(n: int) -> int:
    """The smallest power of two, of `n` or more, that Triton multiplies."""
    return max(SMALLEST, 1 << (n - 1).bit_length())


@triton.jit
def _interpolate(positions, sigmas, offset, mask, size, SIDE: tl.constexpr, VERSION: tl.constexpr,
                 MIN_SIGMA: tl.constexpr):  # fmt: skip
    """Each element over a grid (K, SIDE), and its derivatives by position and by width."""
    grid = tl.arange(0, SIDE)[None, :]
    distance = grid - (tl.load(positions + offset, mask=mask, other=0.0) + size // 2)[:, None]
    inside = mask[:, None] & (grid < size)
    if VERSION == "v1":
        width = 1.0
        sign = mask.to(tl.float32)
    else:
        sigma = tl.load(sigmas + offset, mask=mask, other=0.0)
        width = (tl.abs(sigma) + MIN_SIGMA)[:, None]
        sign = tl.where(sigma > 0, 1.0, tl.where(sigma < 0, -1.0, 0.0))
    if VERSION == "gauss":
        ratio = distance / width
        value = tl.where(inside, tl.exp(-0.5 * ratio * ratio), 0.0)
        by_position = value * ratio / width
        by_width = by_position * ratio
    else:
        value = width - tl.abs(distance)
        inside = inside & (value > 0)
        value = tl.where(inside, value, 0.0)
        by_position = tl.where(distance > 0, 1.0, tl.where(distance < 0, -1.0, 0.0))
        by_position = tl.where(inside, by_position, 0.0)
        by_width = tl.where(inside, 1.0, 0.0)
    return value, by_position, by_width * sign[:, None]


@triton.jit(do_not_specialize=["count", "elements", "rows", "columns"])
def _build_kernel(
    weight, positions, sigmas, kernel, count, elements, rows, columns,
    VERSION: tl.constexpr, MIN_SIGMA: tl.constexpr, EPS: tl.constexpr,
    K: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    n, k = tl.program_id(0), tl.arange(0, K)
    mask, column, row = k < elements, n * elements + k, (count + n) * elements + k
    a, _, _ = _interpolate(positions, sigmas, row, mask, rows, ROWS, VERSION, MIN_SIGMA)
    b, _, _ = _interpolate(positions, sigmas, column, mask, columns, COLUMNS, VERSION, MIN_SIGMA)
    scale = tl.load(weight + column, mask=mask, other=0.0) / (tl.sum(a, 1) * tl.sum(b, 1) + EPS)
    values = tl.dot(a.permute(1, 0), b * scale[:, None], input_precision="ieee")
    r, c = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    tl.store(kernel + (n * rows + r) * columns + c, values, mask=(r < rows) & (c < columns))


@triton.jit(do_not_specialize=["count", "elements", "rows", "columns"])
def _differentiate_kernel(
    weight, positions, sigmas, grad, grad_weight, grad_positions, grad_sigmas,
    count, elements, rows, columns,
    VERSION: tl.constexpr, MIN_SIGMA: tl.constexpr, EPS: tl.constexpr,
    K: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    n, k = tl.program_id(0), tl.arange(0, K)
    mask, column, row = k < elements, n * elements + k, (count + n) * elements + k
    a, a_position, a_width = _interpolate(
        positions, sigmas, row, mask, rows, ROWS, VERSION, MIN_SIGMA
    )
    b, b_position, b_width = _interpolate(
        positions, sigmas, column, mask, columns, COLUMNS, VERSION, MIN_SIGMA
    )
    w = tl.load(weight + column, mask=mask, other=0.0)
    a_sum, b_sum = tl.sum(a, 1), tl.sum(b, 1)
    inverse = 1 / (a_sum * b_sum + EPS)
    r, c = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    inside = (r < rows) & (c < columns)
    upstream = tl.load(grad + (n * rows + r) * columns + c, mask=inside, other=0.0)
    by_a = tl.dot(b, upstream.permute(1, 0), input_precision="ieee")  # (K, ROWS)
    by_b = tl.dot(a, upstream, input_precision="ieee")  # (K, COLUMNS)
    by_w = tl.sum(a * by_a, 1) * inverse
    tl.store(grad_weight + column, by_w, mask=mask)
    # The element's values, and the sums that they are divided by.
    by_a = (w * inverse)[:, None] * by_a - (w * by_w * inverse * b_sum)[:, None]
    by_b = (w * inverse)[:, None] * by_b - (w * by_w * inverse * a_sum)[:, None]
    tl.store(grad_positions + row, tl.sum(by_a * a_position, 1), mask=mask)
    tl.store(grad_positions + column, tl.sum(by_b * b_position, 1), mask=mask)
    if VERSION != "v1":
        tl.store(grad_sigmas + row, tl.sum(by_a * a_width, 1), mask=mask)
        tl.store(grad_sigmas + column, tl.sum(by_b * b_width, 1), mask=mask)


_BUILD, _DIFFERENTIATE = Kernel(_build_kernel), Kernel(_differentiate_kernel)
