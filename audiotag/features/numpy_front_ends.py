"""The front ends in NumPy, for ONNX models that hear log-mel maps: no torch is imported.

Equal to `features.LogMel` and `features_efficientat.EfficientATMel`, whose arguments they take.
Frequencies are computed in single precision as theirs are: a band of one bin near its edge would
differ otherwise.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from audiotag.errors import ModelError
from audiotag.features.mel_power import MelPower

Array = np.ndarray
MEL_FACTOR, MEL_BREAK = 2595.0, 700.0  # HTK's scale: mel per decade, Hz
SLANEY_STEP = 200.0 / 3  # Hz per mel up to the knee
SLANEY_KNEE = 1000.0  # Hz; logarithmic above
SLANEY_LOG_STEP = np.log(6.4) / 27  # of ln(f) per mel above the knee
KALDI_FACTOR = 1127.0  # mel per e-fold
POWER_FLOOR = 1e-10  # LogMel's, -100 dB
PRE_EMPHASIS, LOG_OFFSET, MEAN, SCALE = 0.97, 1e-5, -4.5, 5.0  # EfficientATMel's


class NumpyLogMel:
    """`features.LogMel`; the same arguments, each of which must be given."""

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        f_min: float,
        f_max: float,
        mean: float,
        std: float,
        mel_scale: str = "htk",
        norm: str | None = None,
    ) -> None:
        self.sample_rate, self.mean, self.std = sample_rate, mean, std
        points = _mel_points(f_min, f_max, n_mels + 2, mel_scale)
        frequencies = np.linspace(0, sample_rate // 2, n_fft // 2 + 1, dtype=np.float32)
        bands = _triangles(frequencies, points)
        if norm == "slaney":
            bands *= 2 / (points[2:] - points[:-2])
        self._mel = MelPower(_hann(n_fft, n_fft), hop_length, bands)

    def __call__(self, waveforms: Array) -> Array:
        """Maps (B, 1, n_mels, 1 + T // hop_length) float32 of waveforms (B, T) float32."""
        level = self._mel(waveforms)[:, None]
        np.log10(np.maximum(level, np.float32(POWER_FLOOR), out=level), out=level)
        level *= 10
        level -= np.float32(self.mean)
        level /= np.float32(self.std)
        return level


class NumpyEfficientATMel:
    """`features_efficientat.EfficientATMel`; the same arguments, each of which must be given."""

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        win_length: int,
        hop_length: int,
        n_mels: int,
        f_min: float,
        f_max: float,
    ) -> None:
        self.sample_rate = sample_rate
        side = n_fft - win_length
        window = np.pad(_hann(win_length, win_length - 1), (side // 2, side - side // 2))
        bands = _kaldi_bands(n_fft, sample_rate, n_mels, f_min, f_max)
        self._mel = MelPower(window, hop_length, bands, PRE_EMPHASIS)

    def __call__(self, waveforms: Array) -> Array:
        """Maps (B, 1, n_mels, frames) float32 of waveforms (B, T) float32."""
        level = self._mel(waveforms)[:, None]
        level += np.float32(LOG_OFFSET)
        np.log(level, out=level)
        level -= np.float32(MEAN)
        level /= np.float32(SCALE)
        return level


FRONT_ENDS: dict[str, Callable[..., Callable[[Array], Array]]] = {
    "log_mel": NumpyLogMel,
    "efficientat_mel": NumpyEfficientATMel,
}


def numpy_front_end(name: str, arguments: dict[str, Any]) -> Callable[[Array], Array]:
    """The front end of a name.

    Raises:
        ModelError: If it is not known here.
    """
    if name not in FRONT_ENDS:
        raise ModelError(
            f"front end {name!r} needs torch; export the model with --waveform, or use its folder"
        )
    return FRONT_ENDS[name](**arguments)


def _hann(length: int, period: int) -> Array:
    """Hann window (length,) float32 that would go on with `period`."""
    return _single(0.5 - 0.5 * np.cos(2 * np.pi / period * np.arange(length)))


def _mel_points(f_min: float, f_max: float, count: int, scale: str) -> Array:
    """Frequencies in Hz (count,), equally far apart in mel."""
    if scale == "htk":
        low, high = (MEL_FACTOR * float(np.log10(1 + f / MEL_BREAK)) for f in (f_min, f_max))
        mel = _steps(low, high, count)
        power = _single(np.power(10.0, np.float64(mel / np.float32(MEL_FACTOR))))
        return np.float32(MEL_BREAK) * (power - 1)
    mel = _steps(_slaney_mel(f_min), _slaney_mel(f_max), count)
    knee = np.float32(SLANEY_KNEE / SLANEY_STEP)
    growth = _single(np.exp(np.float64(np.float32(SLANEY_LOG_STEP) * (mel - knee))))
    above = np.float32(SLANEY_KNEE) * growth
    return np.where(mel < knee, np.float32(SLANEY_STEP) * mel, above)


def _slaney_mel(frequency: float) -> float:
    """Slaney's mel of a frequency in Hz: linear up to the knee, logarithmic above."""
    if frequency < SLANEY_KNEE:
        return frequency / SLANEY_STEP
    return SLANEY_KNEE / SLANEY_STEP + np.log(frequency / SLANEY_KNEE) / SLANEY_LOG_STEP


def _steps(first: float, last: float, count: int) -> Array:
    """As torch.linspace: (count,) float32, each half from its end in steps of single precision."""
    step = np.float64((np.float32(last) - np.float32(first)) / np.float32(count - 1))
    up, down = np.arange(count), np.arange(count)[::-1]
    return _single(
        np.where(up < count // 2, np.float32(first) + step * up, np.float32(last) - step * down)
    )


def _single(x: Array) -> Array:
    return x.astype(np.float32)


def _triangles(x: Array, points: Array) -> Array:
    """Weights (N, M - 2) at x (N,) of triangles with corners at neighbouring points (M,)."""
    left, centre, right = points[:-2], points[1:-1], points[2:]
    rise, fall = (x[:, None] - left) / (centre - left), (right - x[:, None]) / (right - centre)
    return np.maximum(0, np.minimum(rise, fall))


def _kaldi_bands(n_fft: int, sample_rate: int, n_mels: int, f_min: float, f_max: float) -> Array:
    """Kaldi's triangles (n_fft / 2 + 1, n_mels), straight in mel; none hears the last bin."""
    low, high = (KALDI_FACTOR * np.log(1 + f / MEL_BREAK) for f in (f_min, f_max))
    delta = np.float32((high - low) / (n_mels + 1))
    points = np.float32(low) + np.arange(n_mels + 2, dtype=np.float32) * delta
    frequencies = np.float32(sample_rate / n_fft) * np.arange(n_fft // 2, dtype=np.float32)
    ratio = np.float64(1 + frequencies / np.float32(MEL_BREAK))
    mel = np.float32(KALDI_FACTOR) * _single(np.log(ratio))
    return np.pad(_triangles(mel, points), ((0, 1), (0, 0)))
