"""Depthwise convolution with large kernels on a GPU's tensor cores, in Triton.

A channel's map is cut into patches of 64 outputs: 8x8, or 4x16 on narrow maps, whose rows are then
taken whole. Each patch is the same linear function of its input window: a banded matrix whose
entries are the kernel's taps. So one matrix product computes a channel:

    products[patch, output] = window[patch, cell] @ banded[cell, output]

For a 23x23 kernel these are up to 960 multiplications an output instead of 529, on units that are
some fifteen times faster. Window rows outside the map are skipped, so small maps cost less.

Tensor cores are as fast as their data arrives. Maps are copied once, so that each channel's cells
lie together in words of eight cells of a row (`Planes`); kernels likewise (`_taps`). Each thread
then loads 16 bytes with one instruction, in the order that the matrix unit expects: thread 4 i + t
of a warp loads word t of line i. The cells within a product may have any order, so the two cells of
a register are neighbours in memory. Only the output passes through shared memory. All this is
expressed by the shapes and permutations of the loads: with others the result is the same, but
slower.

The input gradient is the same product with the kernel rotated by 180 degrees. The weight gradient
first sums window x output gradient over batch and patches, which is the gradient of the banded
matrix, and then adds up its diagonals. Partial sums are stored and added in a fixed order, not
atomically: the result is the same to the bit every time, for one more pass over some tens of
megabytes.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from audiotag.layers.kernels.triton_depthwise_kernels import (
    correlate_kernel,
    diagonal_kernel,
    outer_kernel,
    planes_kernel,
    taps_kernel,
)
from audiotag.layers.kernels.triton_launch import Kernel

PATCH = 64  # outputs of a patch
WORD = 8  # cells of a row that a thread loads at once: 16 bytes in half precision
STEP = 4 * WORD  # window cells of one product
GROUP, OUTER_GROUP = 8, 2  # warps of a program: each takes a channel, or a part of its window
WHOLE = 16  # the widest map whose rows are taken whole: wider ones repeat too little of a window
PROGRAMS = 2048  # into which the weight gradient's sum is split: four times as many as run at once
MAX_OFFSET = 2**31  # offsets within a program are 32-bit
# Windows of up to this many cells should be faster here than by FFT: estimated from operations and
# bytes, not measured. Float32 takes three products, each at half the rate.
MAX_WINDOW = {torch.bfloat16: 4096, torch.float16: 4096, torch.float32: 1024}


@dataclass(frozen=True)
class Tiling:
    """How maps (height, width) are cut for kernels (kh, kw), both odd.

    Attributes:
        rows, columns: Outputs of a patch.
        window: Columns of its input window.
        bands: Patches down a map.
        reach, left: Rows of the window above the patch and columns left of it.
        turn: Kernel column that the window's first cell and the patch's first output share.
        first_row, window_rows: Rows of the window that lie on the map for some patch.
    """

    rows: int
    columns: int
    window: int
    bands: int
    reach: int
    left: int
    turn: int
    first_row: int
    window_rows: int

    @property
    def pad(self) -> int:
        """Zeros before each row, so that the windows of patches at columns 0, 8, ... are words."""
        return self.left % WORD

    @property
    def taps(self) -> tuple[int, int, int]:
        """Rows, outputs and cells of `_taps`: the kernel with zeros around it."""
        beyond = max(1, STEP // self.window) - 1  # rows that a last step may reach too far
        return 2 * self.reach + 1 + 2 * (self.rows - 1) + beyond, self.columns, self.window

    @property
    def constants(self) -> dict[str, int]:
        """The constants that Triton's kernels are compiled for."""
        return {"ROWS": self.rows, "COLUMNS": self.columns, "WINDOW": self.window}


@lru_cache(maxsize=1024)
def tiling_of(height: int, width: int, kh: int, kw: int) -> Tiling:
    """Patches and windows for maps (height, width) and kernels (kh, kw)."""
    whole = width <= WHOLE
    columns = max(WORD, _power_of_2(width)) if whole else WORD
    rows = PATCH // columns
    bands, reach = _cdiv(height, rows), kh // 2
    first_row = max(0, reach - (bands - 1) * rows)
    return Tiling(
        rows=rows,
        columns=columns,
        window=columns if whole else STEP * _cdiv(columns + kw - 1, STEP),
        bands=bands,
        reach=reach,
        left=0 if whole else kw // 2,
        turn=kw // 2 if whole else 0,
        first_row=first_row,
        window_rows=min(rows + 2 * reach, height + reach) - first_row,
    )


@dataclass(frozen=True)
class Planes:
    """Maps with each channel's cells together, and each row in whole words.

    Attributes:
        values: (B, C, H, words, 8), with zeros before and after a row.
        pad: Zeros before it.
    """

    values: Tensor
    pad: int

    @classmethod
    def of(cls, x: Tensor, pad: int, whole: bool) -> "Planes":
        """Copy maps (B, C, H, W), contiguous or channels-last. With `whole`, a row has 1, 2, 4, ...
        words."""
        batch, channels, height, width = x.shape
        words = _cdiv(pad + width, WORD)
        words = _power_of_2(words) if whole else words
        if x.is_contiguous() and words * WORD == width:
            return cls(x.view(batch, channels, height, words, WORD), pad)
        values = x.new_empty((batch, channels, height, words, WORD))
        cells, block = 128, 32
        tiles = _cdiv(height * words * WORD, cells) * _cdiv(channels, block)
        _PLANES.launch(
            batch * tiles,
            *(x, values, channels, height, width, words, pad),
            **{"CELLS": cells, "BLOCK": block, **_order(x)},
        )
        return cls(values, pad)

    @property
    def shape(self) -> torch.Size:
        """Maps, channels, rows and words of a row."""
        return self.values.shape[:4]


def is_preferred(x: Tensor, kh: int, kw: int) -> bool:
    """Whether these kernels, not the FFT, should be used for maps (B, C, H, W)."""
    if x.dtype not in MAX_WINDOW or x.numel() == 0:
        return False
    tiling = tiling_of(x.shape[-2], x.shape[-1], kh, kw)
    if x.shape[1] * x.shape[2] * (x.shape[3] + 2 * WORD) * PATCH >= MAX_OFFSET:
        return False
    return min(tiling.rows + 2 * tiling.reach, x.shape[-2]) * tiling.window <= MAX_WINDOW[x.dtype]


def depthwise_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Same-size correlation of maps (B, C, H, W) with kernels (C, 1, kh, kw), both sides odd.

    Sums are in single precision. Weight and bias may have a wider type than the maps; their
    gradients have their own type.
    """
    return _Depthwise.apply(x, weight, bias)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = _dense(x)
        with torch.cuda.device_of(x):
            tiling = _tiling_of(x, weight)
            planes = Planes.of(x, tiling.pad, tiling.left == 0)
            ctx.save_for_backward(planes.values, weight)
            ctx.bias_type = None if bias is None else bias.dtype
            return _correlate(planes, tiling, weight, bias, False, torch.empty_like(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        values, weight = ctx.saved_tensors
        wanted, grad = ctx.needs_input_grad, _dense(grad)
        grad_x = grad_weight = grad_bias = None
        with torch.cuda.device_of(grad):
            tiling = _tiling_of(grad, weight)
            planes = Planes.of(grad, 0, tiling.left == 0)
            if wanted[0]:
                grad_x = _correlate(planes, tiling, weight, None, True, torch.empty_like(grad))
            if wanted[1]:
                sums = _weight_gradient(Planes(values, tiling.pad), planes, tiling, weight.shape)
                grad_weight = sums.to(weight.dtype)
        if wanted[2]:
            grad_bias = grad.sum((0, 2, 3), dtype=torch.float32).to(ctx.bias_type)
        return grad_x, grad_weight, grad_bias


def weight_gradient(x: Tensor, grad: Tensor, kh: int, kw: int) -> Tensor:
    """Gradient (C, 1, kh, kw) of the kernel, in single precision.

    Args:
        x: Maps (B, C, H, W).
        grad: Gradient of the output, same shape and type.
        kh, kw: Rows and columns of the kernel.
    """
    x, grad = _dense(x), _dense(grad)
    with torch.cuda.device_of(x):
        tiling = tiling_of(x.shape[-2], x.shape[-1], kh, kw)
        whole = tiling.left == 0
        planes = Planes.of(x, tiling.pad, whole), Planes.of(grad, 0, whole)
        return _weight_gradient(*planes, tiling, torch.Size((x.shape[1], 1, kh, kw)))


# Triton's own take microseconds.
def _cdiv(a: int, b: int) -> int:
    return -(-a // b)


def _power_of_2(n: int) -> int:
    """The smallest power of two of `n` or more."""
    return 1 << (n - 1).bit_length()


def _tiling_of(x: Tensor, weight: Tensor) -> Tiling:
    return tiling_of(x.shape[-2], x.shape[-1], weight.shape[-2], weight.shape[-1])


def _correlate(
    planes: Planes, tiling: Tiling, weight: Tensor, bias: Tensor | None, flip: bool, y: Tensor
) -> Tensor:
    """Write the correlation of maps and kernels, rotated by 180 degrees if `flip`, into `y`."""
    batch, channels, height, width = y.shape
    start = -((planes.pad - tiling.left) % WORD)  # column of the first patch
    segments = _cdiv(width - start, tiling.columns)
    lead = (tiling.left - planes.pad - start) // WORD  # words of a window before its patch
    most = 32 if y.element_size() == 2 else 16  # so that products fit a thread's registers
    size = max(16, min(most, _power_of_2(batch * segments)))
    blocks, tiles = _cdiv(channels, GROUP), _cdiv(batch * segments, size)
    _CORRELATE[y.element_size()].launch(
        blocks * tiling.bands * tiles,
        *(planes.values, _taps(weight, tiling, y.dtype, flip), y if bias is None else bias, y),
        *(batch, channels, height, width, planes.shape[3]),
        *(segments, tiling.bands, tiling.reach, start, lead, tiling.taps[0]),
        **tiling.constants,
        **{"GROUP": GROUP, "SIZE": size, "HAS_BIAS": bias is not None},
        **{"PRECISION": _precision(y), **_order(y)},
    )
    return y


def _weight_gradient(x: Planes, grad: Planes, tiling: Tiling, shape: torch.Size) -> Tensor:
    """Gradient of kernels of shape (C, 1, kh, kw), in single precision."""
    batch, channels, height, words = x.shape
    kh, kw = shape[-2:]
    segments = _cdiv(grad.shape[3] * WORD, tiling.columns)
    positions, parts = batch * segments, _cdiv(tiling.window_rows * tiling.window, WORD * WORD)
    together = min(OUTER_GROUP, _power_of_2(parts))  # parts of one program
    blocks = _cdiv(parts, together), _cdiv(channels * together, OUTER_GROUP)
    programs = blocks[0] * blocks[1]
    splits = max(1, min(PROGRAMS // programs, positions // 128))
    share = 16 * _cdiv(positions, 16 * splits)
    sums = x.values.new_empty((splits, channels, parts, PATCH, PATCH), dtype=torch.float32)
    _OUTER.launch(
        programs * splits,
        *(
            x.values,
            grad.values,
            sums,
            channels,
            height,
            words,
            grad.shape[3],
            segments,
            tiling.bands,
        ),
        *(tiling.reach, (tiling.left - x.pad) // WORD, positions, share, parts, tiling.first_row),
        **tiling.constants,
        **{"GROUP": OUTER_GROUP, "TOGETHER": together, "PRECISION": _precision(x.values)},
    )
    weight = sums.new_empty(shape)
    _DIAGONAL.launch(
        channels * kh,
        *(sums, weight, channels, kh, kw, parts, splits),
        *(tiling.first_row, tiling.window_rows, tiling.turn),
        **{"COLUMNS": tiling.columns, "WINDOW": tiling.window, "WIDE": _power_of_2(kw)},
    )
    return weight


def _taps(weight: Tensor, tiling: Tiling, dtype: torch.dtype, flip: bool) -> Tensor:
    """Kernels with zeros around them, in the order of window rows: (C, rows, columns, window).

    Entry [c, i, s, k] is the tap between cell k of a window row and the output in column s of a
    patch's row, where the window row is i - (rows of a patch - 1) rows below the patch's row.
    """
    channels, _, kh, kw = weight.shape
    taps = weight.new_empty((channels, *tiling.taps), dtype=dtype)
    size = 1024
    _TAPS.launch(
        _cdiv(taps.numel(), size),
        *(
            weight.contiguous(),
            taps,
            kh,
            kw,
            tiling.rows - 1,
            tiling.turn,
            tiling.taps[0],
            taps.numel(),
        ),
        **{"COLUMNS": tiling.columns, "WINDOW": tiling.window, "SIZE": size, "FLIP": flip},
    )
    return taps


def _dense(x: Tensor) -> Tensor:
    """`x` itself where it is contiguous or channels-last, else a channels-last copy."""
    if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.contiguous(memory_format=torch.channels_last)


def _order(x: Tensor) -> dict[str, int | bool]:
    """The layout of maps in memory, and a divisor of their channels, for aligned access."""
    return {
        "CHANNELS_LAST": not x.is_contiguous(),
        "UNIT": min(16 // x.element_size(), x.shape[1] & -x.shape[1]),
    }


def _precision(x: Tensor) -> str:
    # TF32 alone is off by 3e-4; three of its products together are as good as float32.
    return "tf32x3" if x.dtype == torch.float32 else "tf32"


_PLANES, _TAPS = Kernel(planes_kernel, 8), Kernel(taps_kernel)
_CORRELATE = {  # by the size of an element; 128 registers let 16 warps run, which wait less
    2: Kernel(correlate_kernel, GROUP, maxnreg=128),
    4: Kernel(correlate_kernel, GROUP),
}
_OUTER, _DIAGONAL = Kernel(outer_kernel, OUTER_GROUP), Kernel(diagonal_kernel)
