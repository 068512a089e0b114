"""Depthwise convolution with large kernels on a GPU's tensor cores, in Triton.

A channel's map is cut into patches of 64 outputs (8x8, 4x16, 2x32, ...). All patches of the channel
are the same linear function of their input windows: a banded matrix whose entries are the kernel's
taps. So one matrix product a channel does what 529 multiplications an output would:
products[patch, output] = window[patch, cell] @ banded[cell, output]. That is up to 960
multiplications an output for a 23x23 kernel, on units some fifteen times faster. A program takes
eight neighbouring channels, a warp each, because these lie side by side in channels-last maps: each
load is a word of 16 bytes, and no transposed copy is made. Window rows beside the map are not
visited, so that small maps cost less.

The input gradient is the same product with the kernel turned by 180 degrees. The weight gradient
first sums window x output gradient over batch and patches, which is the gradient of the banded
matrix, and then adds up its diagonals. Partial sums are stored and added in a fixed order instead
of atomically: the same bits every time, for one more pass over some tens of megabytes.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

PATCH = 64  # outputs of a patch
CELLS = 32  # most window cells of one step; also the widest map taken in whole rows
MIN_TILE = 16  # fewest rows that a tensor core takes
WORD = 16  # bytes of one load
PROGRAMS = 512  # the weight gradient's sum is split until there are so many: four a multiprocessor
# Arguments that a kernel isn't compiled anew for.
SIZES = (
    "batch height width group bands segments tiles reach shift tap_rows positions share parts "
    "first_row window_rows turn splits cells kh kw total rows columns top left"
).split()
MAX_OFFSET = 2**31  # offsets within a program are 32-bit
# Windows up to this many cells are thought to be faster here than through the FFT: counted from
# operations and bytes, not measured. Float32 is split into three products of half their rate.
MAX_WINDOW = {torch.bfloat16: 4096, torch.float16: 4096, torch.float32: 1024}


@dataclass(frozen=True)
class Plan:
    """How maps (height, width) are cut for kernels (kh, kw), both odd.

    Attributes:
        rows, columns: Outputs of a patch.
        window: Columns of its input window.
        bands, segments: Patches down and across a map.
        reach: Rows of the window above the patch.
        shift: Columns of the window left of the patch.
        turn: Kernel column that the window's first cell and the patch's first output share.
        first_row, window_rows: Rows of the window that lie on the map for some patch.
    """

    rows: int
    columns: int
    window: int
    bands: int
    segments: int
    reach: int
    shift: int
    turn: int
    first_row: int
    window_rows: int

    @property
    def taps(self) -> tuple[int, int]:
        """Rows and columns of the kernel with zeros around it for every cell and output."""
        beyond = triton.cdiv(CELLS, self.window) - 1  # rows that a last step may reach too far
        rows = 2 * self.reach + 1 + 2 * (self.rows - 1) + beyond
        return rows, self.window + self.columns - 1


def plan(height: int, width: int, kh: int, kw: int) -> Plan:
    """Patches and windows for maps (height, width) and kernels (kh, kw)."""
    whole = width <= CELLS
    columns = triton.next_power_of_2(width) if whole else 8
    rows = PATCH // columns
    needed = columns + kw - 1
    window = 16 if needed <= 16 else CELLS * triton.cdiv(needed, CELLS)
    window = columns if whole else window
    bands, reach = triton.cdiv(height, rows), kh // 2
    first_row = max(0, reach - (bands - 1) * rows)
    return Plan(
        rows=rows,
        columns=columns,
        window=window,
        bands=bands,
        segments=triton.cdiv(width, columns),
        reach=reach,
        shift=0 if whole else kw // 2,
        turn=kw // 2 if whole else 0,
        first_row=first_row,
        window_rows=min(rows + 2 * reach, height + reach) - first_row,
    )


def is_preferred(x: Tensor, kh: int, kw: int) -> bool:
    """Whether these kernels should take maps (B, C, H, W) rather than the FFT."""
    if x.dtype not in MAX_WINDOW or x.numel() == 0 or x[0].numel() * PATCH >= MAX_OFFSET:
        return False
    cut = plan(x.shape[-2], x.shape[-1], kh, kw)
    return min(cut.rows + 2 * cut.reach, x.shape[-2]) * cut.window <= MAX_WINDOW[x.dtype]


def depthwise_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Same-size correlation of maps (B, C, H, W) with kernels (C, 1, kh, kw), both sides odd.

    Sums are made in single precision. Weight and bias may be wider than the maps; their gradients
    come in their own type.
    """
    return _Depthwise.apply(x, weight, bias)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.bias_type = None if bias is None else bias.dtype
        return correlate(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            correlate(grad, weight, flip=True) if wanted[0] else None,
            weight_gradient(x, grad, *weight.shape[-2:]).to(weight.dtype) if wanted[1] else None,
            grad.sum((0, 2, 3), dtype=torch.float32).to(ctx.bias_type) if wanted[2] else None,
        )


def correlate(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    flip: bool = False,
    tile: int | None = None,
) -> Tensor:
    """Correlation (B, C, H, W) of maps with kernels, turned by 180 degrees or not.

    Args:
        x: Maps (B, C, H, W).
        weight: Kernels (C, 1, kh, kw).
        bias: One value a channel (C,), or nothing.
        flip: Whether to turn the kernels.
        tile: Patches of one program, a power of two from 16; chosen unless given.
    """
    x = _dense(x)
    y = torch.empty_like(x)
    batch, channels, height, width = x.shape
    cut, block, unit = plan(height, width, *weight.shape[-2:]), _block(x), _unit(x, y)
    patches = triton.next_power_of_2(batch * cut.segments)
    size = min(tile or _tile(x), max(MIN_TILE, patches))
    group = max(1, size // cut.segments)  # maps of one program
    tiles = triton.cdiv(group * cut.segments, size)
    programs = channels // block * triton.cdiv(batch, group) * cut.bands * tiles
    with torch.cuda.device_of(x):
        _correlate_kernel[(programs,)](
            *(x, _taps(weight, cut, block, x.dtype, flip), x if bias is None else bias, y),
            *(batch, channels, height, width, *_strides(x, unit), *_strides(y, unit)),
            *(group, cut.bands, cut.segments, tiles, cut.reach, cut.shift, cut.taps[0]),
            **_shape(cut, block, unit, size, x.dtype),
            HAS_BIAS=bias is not None,
        )
    return y


def weight_gradient(x: Tensor, grad: Tensor, kh: int, kw: int, tile: int | None = None) -> Tensor:
    """Gradient (C, 1, kh, kw) of the kernel, in single precision.

    Args:
        x: Maps (B, C, H, W).
        grad: Gradient of the output, same shape and type.
        kh, kw: Rows and columns of the kernel.
        tile: Window cells of one program, a power of two from 16; chosen unless given.
    """
    x, grad = _dense(x), _dense(grad)
    batch, channels, height, width = x.shape
    cut, block, unit = plan(height, width, kh, kw), _block(x), _unit(x, grad)
    size, positions = tile or _tile(x), batch * cut.segments
    parts = triton.cdiv(cut.window_rows * cut.window, size)
    programs = parts * channels // block
    splits = max(1, min(PROGRAMS // programs, positions // (4 * CELLS)))
    share = triton.cdiv(triton.cdiv(positions, splits), CELLS) * CELLS
    sums = x.new_empty((splits, channels, parts * size, PATCH), dtype=torch.float32)
    with torch.cuda.device_of(x):
        _outer_kernel[(programs * splits,)](
            *(x, grad, sums, channels, height, width, *_strides(x, unit), *_strides(grad, unit)),
            *(positions, share, parts, cut.bands, cut.segments),
            *(cut.reach, cut.shift, cut.first_row),
            **_shape(cut, block, unit, size, x.dtype),
        )
    return _diagonals(sums, cut, kh, kw)


def _diagonals(sums: Tensor, cut: Plan, kh: int, kw: int) -> Tensor:
    """Kernels' gradient from that of the banded matrices (splits, C, cells, PATCH)."""
    splits, channels, cells, _ = sums.shape
    weight = sums.new_empty((channels, 1, kh, kw))
    with torch.cuda.device_of(sums):
        _diagonal_kernel[(channels * kh,)](
            *(sums, weight, splits, channels, cells, kh, kw),
            *(cut.first_row, cut.window_rows, cut.turn),
            OUTPUTS=PATCH,
            COLUMNS=cut.columns,
            WINDOW=cut.window,
            WIDE=triton.next_power_of_2(kw),
        )
    return weight


def _taps(weight: Tensor, cut: Plan, block: int, dtype: torch.dtype, flip: bool) -> Tensor:
    """Kernels with zeros around them, a block of channels side by side: (C / block, ..., block)."""
    channels, _, kh, kw = weight.shape
    rows, columns = cut.taps
    taps = weight.new_empty((channels // block, rows, columns, block), dtype=dtype)
    size = 1024
    with torch.cuda.device_of(weight):
        _taps_kernel[(triton.cdiv(taps.numel(), size),)](
            *(weight, taps, taps.numel(), kh, kw, rows, columns),
            *(cut.rows - 1, cut.columns - 1 - cut.turn),
            *(weight.stride(0), weight.stride(2), weight.stride(3)),
            BLOCK=block,
            SIZE=size,
            FLIP=flip,
        )
    return taps


def _block(x: Tensor) -> int:
    """Channels of one program: a word of them, or the largest power of two that divides them."""
    return min(WORD // x.element_size(), x.shape[1] & -x.shape[1])


def _tile(x: Tensor) -> int:
    """Rows of a program's products that fit its registers; gathering single elements takes more."""
    return 64 if x.element_size() == 2 and x.stride(1) == 1 else 32


def _shape(cut: Plan, block: int, unit: int, size: int, dtype: torch.dtype) -> dict[str, Any]:
    """What the two matrix kernels are compiled for."""
    cells = max(MIN_TILE, min(CELLS, size // 2))  # of one step: so many fit beside the products
    return {
        "ROWS": cut.rows,
        "COLUMNS": cut.columns,
        "WINDOW": cut.window,
        "STEP_ROWS": cells // min(cells, cut.window),
        "STEP_COLUMNS": min(cells, cut.window),
        "BLOCK": block,
        "UNIT": unit,
        "SIZE": size,
        # TF32 alone is off by 3e-4; three of its products together are as good as float32.
        "PRECISION": "tf32x3" if dtype == torch.float32 else "tf32",
        "num_warps": max(4, block),
        "num_stages": 1,
    }


def _dense(x: Tensor) -> Tensor:
    """`x` itself where it fills its memory in one of the two usual orders."""
    if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.contiguous(memory_format=torch.channels_last)


def _unit(x: Tensor, other: Tensor) -> int:
    """Number of elements that strides are passed in, so that words are known to be aligned."""
    strides = [maps.stride(axis) for maps in (x, other) for axis in (0, 2, 3)]
    block = _block(x)
    return block if all(stride % block == 0 for stride in strides) else 1


def _strides(x: Tensor, unit: int) -> tuple[int, int, int, int]:
    """Steps from map to map, row to row and column to column in units; from channel to channel."""
    return x.stride(0) // unit, x.stride(2) // unit, x.stride(3) // unit, x.stride(1)


@triton.jit(do_not_specialize=SIZES)
def _taps_kernel(
    weight, taps, total, kh, kw, rows, columns, top, left, stride_c, stride_h, stride_w,
    BLOCK: tl.constexpr, SIZE: tl.constexpr, FLIP: tl.constexpr,
):  # fmt: skip
    index = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    cell = index // BLOCK
    column = cell % columns - left
    row = cell // columns % rows - top
    channel = cell // (columns * rows) * BLOCK + index % BLOCK
    inside = (row >= 0) & (row < kh) & (column >= 0) & (column < kw) & (index < total)
    if FLIP:
        row = kh - 1 - row
        column = kw - 1 - column
    value = tl.load(
        weight + channel * stride_c + row * stride_h + column * stride_w, mask=inside, other=0.0
    )
    tl.store(taps + index, value.to(taps.dtype.element_ty), mask=index < total)


@triton.jit(do_not_specialize=SIZES)
def _correlate_kernel(
    x, taps, bias, y, batch, channels, height, width,
    x_b, x_h, x_w, x_c, y_b, y_h, y_w, y_c,
    group, bands, segments, tiles, reach, shift, tap_rows,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WINDOW: tl.constexpr,
    STEP_ROWS: tl.constexpr, STEP_COLUMNS: tl.constexpr, BLOCK: tl.constexpr, UNIT: tl.constexpr,
    PRECISION: tl.constexpr, SIZE: tl.constexpr, HAS_BIAS: tl.constexpr,
):  # fmt: skip
    TAP_COLUMNS: tl.constexpr = WINDOW + COLUMNS - 1
    blocks = channels // BLOCK
    block = tl.program_id(0) % blocks  # fastest: neighbours read the same lines of the maps
    tile = tl.program_id(0) // blocks
    band = tile // tiles % bands
    first_map = tile // (tiles * bands) * group
    c = tl.arange(0, BLOCK)
    channel = block * BLOCK + c

    patch = tile % tiles * SIZE + tl.arange(0, SIZE)
    within = patch // segments
    segment = patch % segments
    exists = (within < group) & (first_map + within < batch)
    output = tl.arange(0, ROWS * COLUMNS)
    r = output // COLUMNS
    s = output % COLUMNS
    k = tl.arange(0, STEP_ROWS * STEP_COLUMNS)
    k_row = k // STEP_COLUMNS
    k_column = k % STEP_COLUMNS

    top = band * ROWS - reach
    low = tl.maximum(0, -top)
    high = tl.minimum(ROWS + 2 * reach, height - top)
    x += (first_map.to(tl.int64) * x_b + (top + low) * x_h) * UNIT
    taps += block * tap_rows * TAP_COLUMNS * BLOCK
    acc = tl.zeros([BLOCK, SIZE, ROWS * COLUMNS], tl.float32)
    for start in tl.static_range(0, WINDOW, STEP_COLUMNS):
        column = (segment * COLUMNS - shift)[:, None] + (start + k_column)[None, :]
        inside = exists[:, None] & (column >= 0) & (column < width)
        cell = (within * x_b)[:, None] + (k_row * x_h)[None, :] + column * x_w
        tap = (k_row[:, None] - r[None, :] + low + ROWS - 1) * TAP_COLUMNS
        tap += (start + k_column)[:, None] - s[None, :] + COLUMNS - 1
        cell = cell[:, :, None] * UNIT + (channel * x_c)[None, None, :]
        tap = tap[:, :, None] * BLOCK + c[None, None, :]
        for row in range(low, high, STEP_ROWS):
            if STEP_ROWS == 1:
                mask = inside
            else:
                mask = inside & (row + k_row < high)[None, :]
            window = tl.load(x + cell, mask=mask[:, :, None], other=0.0)
            banded = tl.load(taps + tap)
            acc = tl.dot(
                window.permute(2, 0, 1), banded.permute(2, 0, 1), acc, input_precision=PRECISION
            )
            cell += STEP_ROWS * x_h * UNIT
            tap += STEP_ROWS * TAP_COLUMNS * BLOCK

    if HAS_BIAS:
        acc += tl.load(bias + channel).to(tl.float32)[:, None, None]
    row = band * ROWS + r
    column = (segment * COLUMNS)[:, None] + s[None, :]
    inside = exists[:, None] & (row < height)[None, :] & (column < width)
    cell = (within * y_b)[:, None] + (row * y_h)[None, :] + column * y_w
    y += first_map.to(tl.int64) * y_b * UNIT
    cell = cell[:, :, None] * UNIT + (channel * y_c)[None, None, :]
    tl.store(y + cell, acc.permute(1, 2, 0).to(y.dtype.element_ty), mask=inside[:, :, None])


@triton.jit(do_not_specialize=SIZES)
def _outer_kernel(
    x, grad, sums, channels, height, width,
    x_b, x_h, x_w, x_c, g_b, g_h, g_w, g_c,
    positions, share, parts, bands, segments, reach, shift, first_row,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, WINDOW: tl.constexpr,
    STEP_ROWS: tl.constexpr, STEP_COLUMNS: tl.constexpr, BLOCK: tl.constexpr, UNIT: tl.constexpr,
    PRECISION: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    OUTPUTS: tl.constexpr = ROWS * COLUMNS
    STEP: tl.constexpr = STEP_ROWS * STEP_COLUMNS
    blocks = channels // BLOCK
    part = tl.program_id(0) % parts
    block = tl.program_id(0) // parts % blocks
    split = tl.program_id(0) // (parts * blocks)
    channel = block * BLOCK + tl.arange(0, BLOCK)

    k = part * SIZE + tl.arange(0, SIZE)
    k_row = first_row + k // WINDOW
    k_column = k % WINDOW
    output = tl.arange(0, OUTPUTS)
    r = output // COLUMNS
    s = output % COLUMNS
    # The bands whose window rows, as far as this program sums them up, touch the map.
    top = first_row + part * SIZE // WINDOW
    bottom = first_row + (part * SIZE + SIZE - 1) // WINDOW
    low = (tl.maximum(0, reach - bottom) + ROWS - 1) // ROWS
    high = tl.minimum(bands, (height - 1 + reach - top) // ROWS + 1)
    acc = tl.zeros([BLOCK, SIZE, OUTPUTS], tl.float32)
    for start in range(split * share, tl.minimum(positions, split * share + share), STEP):
        position = start + tl.arange(0, STEP)
        exists = position < positions
        segment = position % segments
        image = (position // segments).to(tl.int64)
        column = (segment * COLUMNS - shift)[:, None] + k_column[None, :]
        x_inside = exists[:, None] & (column >= 0) & (column < width)
        x_cell = (image * x_b)[:, None] + column * x_w
        column = (segment * COLUMNS)[:, None] + s[None, :]
        g_inside = exists[:, None] & (column < width)
        g_cell = (image * g_b)[:, None] + column * g_w
        for band in range(low, high):
            row = band * ROWS - reach + k_row
            mask = x_inside & ((row >= 0) & (row < height))[None, :]
            cell = (x_cell + (row * x_h)[None, :])[:, :, None] * UNIT
            window = tl.load(x + cell + (channel * x_c)[None, None, :], mask[:, :, None], 0.0)
            row = band * ROWS + r
            mask = g_inside & (row < height)[None, :]
            cell = (g_cell + (row * g_h)[None, :])[:, :, None] * UNIT
            upstream = tl.load(grad + cell + (channel * g_c)[None, None, :], mask[:, :, None], 0.0)
            acc = tl.dot(
                window.permute(2, 1, 0), upstream.permute(2, 0, 1), acc, input_precision=PRECISION
            )
    cell = (split * channels + channel).to(tl.int64) * parts * SIZE
    cell = (cell[:, None] + k[None, :]) * OUTPUTS
    tl.store(sums + cell[:, :, None] + output[None, None, :], acc)


@triton.jit(do_not_specialize=SIZES)
def _diagonal_kernel(
    sums, weight, splits, channels, cells, kh, kw, first_row, window_rows, turn,
    OUTPUTS: tl.constexpr, COLUMNS: tl.constexpr, WINDOW: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(0) // kh
    ky = tl.program_id(0) % kh
    kx = tl.arange(0, WIDE)
    output = tl.arange(0, OUTPUTS)
    row = (ky - first_row + output // COLUMNS)[None, :]
    column = kx[:, None] + (output % COLUMNS)[None, :] - turn
    inside = (kx < kw)[:, None] & (column >= 0) & (column < WINDOW)
    inside = inside & (row >= 0) & (row < window_rows)
    total = tl.zeros([WIDE, OUTPUTS], tl.float32)
    for split in range(splits):
        base = (split * channels + channel).to(tl.int64) * cells
        cell = (base + row * WINDOW + column) * OUTPUTS + output[None, :]
        total += tl.load(sums + cell, mask=inside, other=0.0)
    tl.store(weight + (channel * kh + ky) * kw + kx, tl.sum(total, 1), mask=kx < kw)
