"""Depthwise correlation by FFT: its cost does not grow with the kernel.

X is the spectrum of the map, W that of the kernel centred on the origin, G that of the output
gradient. Then the correlation that deep learning calls convolution, and its gradients, are

    output           y = F^-1(X conj(W))
    input gradient   F^-1(G W)
    weight gradient  F^-1(sum over the batch of X conj(G)), at the lags of the kernel

A transform of H + kh // 2 rows is enough: only rows and lags that are not used wrap around.
"""

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

SMOOTH_PRIMES = (2, 3, 5, 7)


def smooth_length(n: int) -> int:
    """Smallest length of at least `n` whose prime factors are all in 2, 3, 5, 7."""
    while True:
        rest = n
        for prime in SMOOTH_PRIMES:
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def transform_size(height: int, width: int, kh: int, kw: int) -> tuple[int, int]:
    """Rows and columns of the transform for a map (height, width) and a kernel (kh, kw)."""
    return smooth_length(height + kh // 2), smooth_length(width + kw // 2)


def spectrum(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Spectrum (..., rows, columns // 2 + 1) of maps (..., H, W), in single precision at least."""
    wide = maps if maps.dtype in (torch.float32, torch.float64) else maps.float()
    return rfft2(wide, s=size)


def kernel_spectrum(weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Spectrum of kernels (C, 1, kh, kw) centred on the origin: (C, size[0], size[1] // 2 + 1)."""
    kh, kw = weight.shape[-2:]
    wide = weight if weight.dtype in (torch.float32, torch.float64) else weight.float()
    padded = torch.nn.functional.pad(wide[:, 0], (0, size[1] - kw, 0, size[0] - kh))
    return rfft2(padded.roll((-(kh // 2), -(kw // 2)), (-2, -1)))


def correlate(maps: Tensor, weight: Tensor, flip: bool = False) -> Tensor:
    """Same-size correlation of maps (B, C, H, W) with kernels (C, 1, kh, kw); with `flip`, their
    convolution: the kernels are rotated by 180 degrees."""
    height, width = maps.shape[-2:]
    size = transform_size(height, width, *weight.shape[-2:])
    kernel = kernel_spectrum(weight, size)
    product = spectrum(maps, size).mul_(kernel if flip else kernel.conj())
    return irfft2(product, s=size)[..., :height, :width].to(maps.dtype)


def weight_gradient(maps: Tensor, grad: Tensor, kh: int, kw: int) -> Tensor:
    """Gradient (C, 1, kh, kw) of the kernel, from maps and output gradient, both (B, C, H, W)."""
    size = transform_size(maps.shape[-2], maps.shape[-1], kh, kw)
    return _lags(spectrum(maps, size), spectrum(grad, size), size, kh, kw)


def gradients(maps: Tensor, grad: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the maps (B, C, H, W) and of the kernel (C, 1, kh, kw), computed together."""
    (height, width), (kh, kw) = maps.shape[-2:], weight.shape[-2:]
    size = transform_size(height, width, kh, kw)
    grads = spectrum(grad, size)
    grad_weight = _lags(spectrum(maps, size), grads, size, kh, kw).to(weight.dtype)
    grad_maps = irfft2(grads.mul_(kernel_spectrum(weight, size)), s=size)
    return grad_maps[..., :height, :width].to(maps.dtype), grad_weight


def _lags(maps: Tensor, grads: Tensor, size: tuple[int, int], kh: int, kw: int) -> Tensor:
    """Correlation (C, 1, kh, kw) of spectra (B, C, ...) around lag zero, summed over the batch."""
    product = maps.mul_(grads.conj()).sum(0)
    lags = irfft2(product, s=size).roll((kh // 2, kw // 2), (-2, -1))
    return lags[:, None, :kh, :kw]
