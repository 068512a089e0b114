"""A power spectrogram by slices and matrix products, which every ONNX runtime supports.

The discrete Fourier transform of N = R S samples x is computed in two steps (Cooley and Tukey,
1965). With sample n = S r + s, bin k = p + R q and w(a / b) = exp(-2 pi i a / b),

    Y[s, p] = sum over r of x[S r + s] w(p r / R)
    X[p + R q] = sum over s of Y[s, p] w(s p / N) w(s q / S)

For real x, bins with p above R / 2 mirror those below. For 1024 = 32 x 32 samples this takes a
fifth of the multiplications of the plain sum, and half of those of a sum that uses its symmetries.
"""

from math import gcd, isqrt

import numpy as np
import torch
from torch import Tensor, nn


class PowerSpectrum(nn.Module):
    """Squared magnitude of the short-time Fourier transform, centred with reflected edges.

    Attributes:
        bins: Number of the bin in each row of the output (K,); -1 if the row repeats another.

    Args:
        window: Weights (n_fft,) of a frame's samples.
        hop_length: Samples from one frame to the next.
        last: Highest bin to compute.
    """

    bins: Tensor
    first: Tensor
    second_real: Tensor
    second_imag: Tensor

    def __init__(self, window: Tensor, hop_length: int, last: int) -> None:
        super().__init__()
        self.n_fft, self.hop_length = len(window), hop_length
        self.inner = _inner_size(self.n_fft, hop_length)
        self.outer = self.n_fft // self.inner
        p = np.arange(self.outer // 2 + 1)
        q = np.arange(self.inner)
        bins = _mirrored(p[:, None] + self.outer * q, self.n_fft)  # (P, Q)
        q = q[(bins <= last).any(0)]
        self.register_buffer("bins", torch.from_numpy(_distinct(bins[:, q]).ravel()))
        self.register_buffer("first", _first(window.double().numpy(), self.outer, p))
        real, imag = _second(self.n_fft, self.inner, p, q)
        self.register_buffer("second_real", real)
        self.register_buffer("second_imag", imag)

    def forward(self, waveform: Tensor) -> Tensor:
        """Power (B, K, frames) of waveforms (B, T), as many frames as torch.stft has."""
        frames = 1 + (waveform.shape[-1] - self.n_fft % 2) // self.hop_length
        first = self.first @ self._frames(waveform, frames)  # (B, S, 2 P, frames)
        parts = self.outer // 2 + 1
        first = first.reshape(-1, self.inner, parts, 2, frames).transpose(1, 2)
        first = first.reshape(-1, parts, 2 * self.inner, frames)
        real, imag = self.second_real @ first, self.second_imag @ first  # (B, P, Q, frames)
        return (real * real + imag * imag).flatten(1, 2)

    def _frames(self, waveform: Tensor, frames: int) -> Tensor:
        """Samples S r + s of every frame, (B, S, R, frames)."""
        half, hop = self.n_fft // 2, self.hop_length
        padded = nn.functional.pad(waveform.unsqueeze(1), (half, half), mode="reflect")
        hops = frames + (self.n_fft - 1) // hop
        padded = nn.functional.pad(padded, (0, hop))[..., : hops * hop]
        rows = hop // self.inner
        columns = padded.reshape(-1, hops, rows, self.inner).permute(0, 3, 2, 1)
        shifted = [
            columns[:, :, : self.outer - rows * j, j : j + frames]
            for j in range(-(-self.outer // rows))
        ]
        return torch.cat(shifted, dim=2)


def _inner_size(n_fft: int, hop_length: int) -> int:
    """The common divisor of n_fft and hop that is nearest to the square root of n_fft."""
    common = gcd(n_fft, hop_length)
    divisors = [size for size in range(1, common + 1) if common % size == 0]
    return min(divisors, key=lambda size: abs(size - isqrt(n_fft)))


def _mirrored(k: np.ndarray, n_fft: int) -> np.ndarray:
    return np.minimum(k, n_fft - k)


def _distinct(bins: np.ndarray) -> np.ndarray:
    """The bins, with -1 for each repeated one."""
    distinct = np.full(bins.size, -1)
    numbers, where = np.unique(bins, return_index=True)
    distinct[where] = numbers
    return distinct.reshape(bins.shape)


def _first(window: np.ndarray, outer: int, p: np.ndarray) -> Tensor:
    """Matrix (S, 2 P, R) of the window and the first step; real and imaginary rows alternate."""
    angle = 2 * np.pi * (p[:, None] * np.arange(outer) % outer) / outer
    waves = np.stack([np.cos(angle), -np.sin(angle)], axis=1).reshape(-1, outer)
    return torch.from_numpy(waves * window.reshape(outer, -1).T[:, None]).float()


def _second(n_fft: int, inner: int, p: np.ndarray, q: np.ndarray) -> tuple[Tensor, Tensor]:
    """Matrices (P, Q, 2 S) of the second step: for the real and for the imaginary part of its
    output; real and imaginary columns alternate."""
    k = p[:, None] + (n_fft // inner) * q
    angle = 2 * np.pi * (k[..., None] * np.arange(inner) % n_fft) / n_fft
    real = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    imag = np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
    shape = (*k.shape, 2 * inner)
    return torch.from_numpy(real.reshape(shape)).float(), torch.from_numpy(
        imag.reshape(shape)
    ).float()
