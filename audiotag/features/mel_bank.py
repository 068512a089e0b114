"""Window and mel bands of a front end, as arrays that can be stored in an ONNX file."""

import json
from dataclasses import dataclass

import numpy as np

from audiotag.runtime.json_text import parse_json

Array = np.ndarray
MAX_BINS = 8_193  # of a transform of 16,384 samples


@dataclass(frozen=True, eq=False)
class MelBank:
    """The weights of a front end.

    Attributes:
        window: Weights (n_fft,) float32 of a frame's samples.
        bands: Weights (n_fft // 2 + 1, n_mels) float32 of the spectrum's bins.
    """

    window: Array
    bands: Array

    def to_json(self) -> str:
        """The weights, exact to the bit. A band is stored as the number of its first bin, and the
        weights from its first bin to its last."""
        return json.dumps(
            {
                "window": _numbers(self.window),
                "bins": len(self.bands),
                "bands": [_span(band) for band in self.bands.T],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "MelBank":
        """Read what `to_json` wrote.

        Raises:
            KeyError, ValueError, TypeError, IndexError: If it is something else.
        """
        values = parse_json(text)
        bins = len(values["window"]) // 2 + 1
        if values["bins"] != bins or bins > MAX_BINS or len(values["bands"]) > bins:
            raise ValueError(f"a window of {len(values['window']):,} has {bins:,} bins")
        bands = np.zeros((len(values["bands"]), values["bins"]), np.float32)
        for band, (first, weights) in zip(bands, values["bands"], strict=True):
            band[first : first + len(weights)] = weights
        return cls(np.array(values["window"], np.float32), bands.T)


def mel_triangles(n_fft: int, sample_rate: int, n_mels: int, f_min: float, f_max: float) -> Array:
    """Weights (n_fft // 2 + 1, n_mels) float32 of triangles on HTK's mel scale, as in Kaldi and
    YAMNet: their sides are straight in mel, whereas those of torchaudio and `log_mel` are straight
    in Hz."""
    corners = np.linspace(_mel(np.array(f_min)), _mel(np.array(f_max)), n_mels + 2)
    bins = _mel(np.arange(n_fft // 2 + 1) * sample_rate / n_fft)[:, None]
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rise, fall = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return np.maximum(0, np.minimum(rise, fall)).astype(np.float32)


def _mel(hertz: Array) -> Array:
    return 1127 * np.log(1 + hertz / 700)


def _numbers(weights: Array) -> list[float]:
    """The shortest numbers that give the same weights in single precision."""
    return [float(str(weight)) for weight in weights.astype(np.float32)]


def _span(band: Array) -> tuple[int, list[float]]:
    bins = np.flatnonzero(band)
    if not len(bins):
        return 0, []
    return int(bins[0]), _numbers(band[bins[0] : bins[-1] + 1])
