"""Power of waveforms in mel bands, by a C function that is compiled with the package.

It takes a fifth of NumPy's time and a third of PyTorch's, and is as exact as PyTorch. NumPy
computes it if there was no compiler, or if the length of a frame is not a power of two.
"""

import ctypes
from functools import lru_cache

import numpy as np

from audiotag.runtime import compiled

Array = np.ndarray
BUILD = "audiotag.features._mel_power"


class MelPower:
    """Power of waveforms in mel bands, frame by frame, with reflected edges.

    Args:
        window: Weights (n_fft,).
        hop_length: Samples from one frame to the next.
        bands: Weights (n_fft / 2 + 1, n_mels); bins of weight 0 in all bands are not computed.
        pre_emphasis: Factor a of y[t] = x[t + 1] - a x[t], which is one sample shorter than x.
    """

    def __init__(
        self, window: Array, hop_length: int, bands: Array, pre_emphasis: float = 0.0
    ) -> None:
        self._window, self._hop = window.astype(np.float32), hop_length
        self._pre_emphasis = pre_emphasis
        heard = np.flatnonzero(bands.any(axis=1))
        self._bins = slice(heard[0], heard[-1] + 1)
        self._bands = np.ascontiguousarray(bands[self._bins], np.float32)
        is_built = library() is not None and is_power_of_two(len(window)) and len(window) > 1
        self._tables = _tables(len(window), self._bands) if is_built else None

    def __call__(self, waveforms: Array) -> Array:
        """Power (B, n_mels, frames) float32 of waveforms (B, T) float32. As with torch.stft there
        are 1 + T // hop_length frames if n_fft is even."""
        compute = self._in_numpy if self._tables is None else self._in_c
        padded = [self._padded(waveform) for waveform in waveforms]
        frames = 1 + (len(padded[0]) - len(self._window)) // self._hop
        power = np.empty((len(padded), self._bands.shape[1], frames), np.float32)
        for waveform, out in zip(padded, power, strict=True):
            compute(waveform, out)
        return power

    def _in_numpy(self, padded: Array, out: Array) -> None:
        frames = np.lib.stride_tricks.sliding_window_view(padded, len(self._window))[:: self._hop]
        spectrum = np.fft.rfft(frames * self._window)[:, self._bins]
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        np.matmul(self._bands.T, power.T, out=out)

    def _in_c(self, padded: Array, out: Array) -> None:
        loaded, tables = library(), self._tables
        assert loaded is not None and tables is not None
        arrays = [array.ctypes.data for array in (self._window, *tables)]
        plan = _Plan(
            len(self._window), self._hop, len(out), self._bins.start, len(self._bands), *arrays
        )
        if loaded.mel_power(plan, padded.ctypes.data, out.ctypes.data, out.shape[1]):
            raise MemoryError("no memory for a Fourier transform")

    def _padded(self, waveform: Array) -> Array:
        """The samples that frames are cut from: the waveform (T,), or the T - 1 samples after
        pre-emphasis, with half a frame of reflected samples at both ends."""
        side, first = len(self._window) // 2, 1 if self._pre_emphasis else 0
        count = len(waveform) - first
        padded = np.empty(count + 2 * side, np.float32)
        middle = padded[side : side + count]
        if self._pre_emphasis:
            np.multiply(waveform[:-1], np.float32(-self._pre_emphasis), out=middle)
            middle += waveform[1:]
        else:
            middle[:] = waveform
        if count > side:
            padded[:side] = middle[side:0:-1]
            padded[side + count :] = middle[-2 : -side - 2 : -1]
        else:  # there and back
            padded[:] = np.pad(middle.copy(), side, mode="reflect")
        return padded


class _Plan(ctypes.Structure):
    """The arguments of the C function: `plan` in mel_power.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("n_fft", "hop", "bands", "low", "bins")),
        *((name, ctypes.c_void_p) for name in ("window", "waves", "places")),
        *((name, ctypes.c_void_p) for name in ("first", "count", "weights")),
    ]


def _tables(n_fft: int, bands: Array) -> tuple[Array, ...]:
    """The last five arrays of `plan`, for bands (bins, n_mels) that start at the lowest bin."""
    heard = bands != 0
    first = heard.argmax(axis=0)
    end = np.where(heard.any(axis=0), len(bands) - heard[::-1].argmax(axis=0), first)
    spans = [bands[low:high, m] for m, (low, high) in enumerate(zip(first, end, strict=True))]
    return (
        np.exp(-2j * np.pi * np.arange(n_fft) / n_fft).astype(np.complex64),
        np.argsort(bin_order(n_fft // 2)),
        first,
        end - first,
        np.concatenate(spans),
    )


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def bin_order(size: int) -> Array:
    """The bin at each position (size,) after passes of radix 4, and a last one of radix 2."""
    if size <= 2:
        return np.arange(size)
    return np.concatenate([4 * bin_order(size // 4) + r for r in range(4)])


@lru_cache
def library() -> ctypes.CDLL | None:
    """The library with the C function; None if it was not compiled."""
    loaded = compiled.load(BUILD)
    if loaded is not None:
        loaded.mel_power.argtypes = [ctypes.POINTER(_Plan), *[ctypes.c_void_p] * 2, ctypes.c_int64]
    return loaded
