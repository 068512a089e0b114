"""Same-size depthwise convolution on a CPU, by C functions that are compiled with the package.

Small maps, which overlap only a part of a large kernel, are summed in registers (`direct.h`).
Others use Fourier transforms of all channels of a vector at once (`fourier.h`). Nothing is padded
or transposed beforehand: see `depthwise.c`. There is a build for each instruction set, and the one
for this CPU is loaded. Without a compiler there is none, and PyTorch's operations are used.

The builds use the OpenMP runtime that torch has loaded. The idle threads of a second runtime would
take time from torch's.
"""

import ctypes
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from audiotag.runtime import compiled

BUILDS = {"AVX512": "_depthwise_avx512", "AVX2": "_depthwise_avx2"}  # by torch's capability
PLAIN_BUILD = "_depthwise"  # for any CPU
DTYPES = (torch.float32, torch.bfloat16)  # of maps; sums are in single precision


class Shape(ctypes.Structure):
    """The struct of that name in shape.h."""

    Sizes = ctypes.c_int64 * 26
    _fields_ = [("sizes", Sizes), ("plus", ctypes.c_void_p)]


def is_preferred(x: Tensor) -> bool:
    """Whether these functions can and should be used for maps (B, C, H, W) and kernels of any size.

    Time in ms on one thread with AVX-512, of these functions / of PyTorch's FFT, for 4 maps:

        maps 16x64x62, kernels 31x31:     forward 0.4 / 3.1, gradients 1.2 / 5.2
        maps 16x64x62, kernels 63x63:     forward 0.6 / 2.5, gradients 1.4 / 4.2
        maps 16x64x1875, kernels 23x23:   forward 22 / 169, gradients 58 / 271
    """
    return (
        x.device.type == "cpu"
        and x.dtype in DTYPES
        and type(x) in (Tensor, torch.nn.Parameter)
        and x.numel() > 0
        and not (torch.jit.is_tracing() or torch.compiler.is_compiling())
        and library() is not None
    )


@lru_cache
def library() -> ctypes.CDLL | None:
    """The build for this CPU; None if there is none that can be loaded."""
    return load(BUILDS.get(capability(), PLAIN_BUILD)) or load(PLAIN_BUILD)


def capability() -> str:
    """Instruction set that torch uses here: "AVX512", "AVX2" or another."""
    return torch.backends.cpu.get_cpu_capability()


def load(name: str) -> ctypes.CDLL | None:
    """One build of the C functions; None if it is missing, or torch has no OpenMP."""
    loaded = compiled.load(f"{__package__}.{name}")
    if loaded is not None:
        loaded.correlate.argtypes = [ctypes.c_void_p] * 5 + [ctypes.c_int]
    return loaded


def depthwise_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, plus: Tensor | None = None
) -> Tensor:
    """Same-size correlation of maps (B, C, H, W) with kernels (C, 1, kh, kw), both sides odd.

    Kernels, bias and their gradients are in single precision. With `plus` (1,), x^2 + plus is
    correlated instead of the maps x; `plus` is only supported without gradients.

    Raises:
        ValueError: If the number of kernels, or of values of the bias, is not that of channels.
    """
    channels = x.shape[1]
    if weight.shape[:2] != (channels, 1) or (bias is not None and bias.shape != (channels,)):
        raise ValueError(f"{channels} channels need as many kernels, got {tuple(weight.shape)}")
    weight, bias = weight.float(), None if bias is None else bias.float()
    if not torch.is_grad_enabled():
        return correlate(x, weight, bias, plus)  # without the cost of autograd
    assert plus is None
    return _Depthwise.apply(x, weight, bias)


def correlate(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    plus: Tensor | None = None,
    turn: bool = False,
) -> Tensor:
    """Correlate maps (B, C, H, W) with kernels (C, 1, kh, kw), rotated by 180 degrees if `turn`."""
    out = torch.empty_like(x)
    _run(x, weight, bias, out, (0, *_inner(weight)), out.stride(), plus, turn)
    return out


def weight_gradient(x: Tensor, grad: Tensor, kh: int, kw: int) -> Tensor:
    """Gradient (C, 1, kh, kw) of the kernel, from maps and output gradient, both (B, C, H, W)."""
    out = x.new_empty(x.shape[1], 1, kh, kw, dtype=torch.float32)
    _run(x, grad, None, out, grad.stride(), (0, *_inner(out)))
    return out


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return correlate(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            correlate(grad, weight, turn=True) if wanted[0] else None,
            weight_gradient(x, grad, *weight.shape[-2:]) if wanted[1] else None,
            grad.sum((0, 2, 3), dtype=torch.float32) if wanted[2] else None,
        )


def _inner(kernels: Tensor) -> tuple[int, int, int]:
    """Strides of channel, row and column of kernels (C, 1, kh, kw)."""
    channel, _, row, column = kernels.stride()
    return channel, row, column


def _run(
    maps: Tensor,
    taps: Tensor,
    bias: Tensor | None,
    out: Tensor,
    tap_strides: tuple[int, ...],
    out_strides: tuple[int, ...],
    plus: Tensor | None = None,
    turn: bool = False,
) -> None:
    """Call the C function. A batch stride of 0 means: all images share the kernel, or the sum."""
    loaded = library()
    assert loaded is not None
    rows, columns = (taps if out_strides[0] else out).shape[-2:]  # of the kernel
    values = (*maps.shape, *taps.shape[-2:], *out.shape[-2:], rows // 2, columns // 2, int(turn))
    for tensor, strides in ((maps, maps.stride()), (taps, tap_strides), (out, out_strides)):
        size = tensor.element_size()
        values += (*(size * stride for stride in strides), size)
    plus = None if plus is None else plus.float()
    shape = Shape(Shape.Sizes(*values), None if plus is None else plus.data_ptr())
    bias = None if bias is None else bias.contiguous()
    pointers = [None if tensor is None else tensor.data_ptr() for tensor in (maps, taps, bias, out)]
    if loaded.correlate(ctypes.byref(shape), *pointers, torch.get_num_threads()):
        raise MemoryError("no memory for a depthwise convolution; take a smaller batch")
