"""The front ends for the export, in operators that every ONNX runtime has; the maps are the same.

Bins above the highest mel band are not computed.
"""

from typing import Any

import torch
from torch import Tensor, nn

from audiotag.errors import ModelError
from audiotag.features.ced import CedMel
from audiotag.features.efficientat import EfficientATMel
from audiotag.features.log_mel import LogMel
from audiotag.features.matmul_stft import PowerSpectrum


class OnnxLogMel(LogMel):
    """`LogMel` with a spectrum from matrix products; arguments and maps are the same."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.spectrum = PowerSpectrum(self.window, self.hop_length, _last(self.bands))
        self.bands = _reordered(self.bands, self.spectrum.bins)

    def power(self, waveform: Tensor) -> Tensor:
        """Power (B, K, frames) in the order of `spectrum.bins`."""
        return self.spectrum(waveform)

    def _mel_of(self, waveform: Tensor) -> Tensor:
        return self._in_bands(waveform)


class OnnxEfficientATMel(EfficientATMel):
    """`EfficientATMel` with a spectrum from matrix products; arguments and maps are the same."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        side = self.n_fft - self.win_length
        window = nn.functional.pad(self.window, (side // 2, side - side // 2))
        self.spectrum = PowerSpectrum(window, self.hop_length, _last(self.bands))
        self.bands = _reordered(self.bands, self.spectrum.bins)

    def _power(self, waveform: Tensor) -> Tensor:
        return self.spectrum(waveform)

    def _mel_of(self, waveform: Tensor) -> Tensor:
        return self._in_bands(waveform)


class OnnxCedMel(OnnxLogMel, CedMel):
    """`CedMel`, its spectrum from matrix products; arguments and maps are the same."""


ONNX_FRONT_ENDS: dict[str, type[nn.Module]] = {
    "log_mel": OnnxLogMel,
    "efficientat_mel": OnnxEfficientATMel,
    "ced_mel": OnnxCedMel,
}


def onnx_front_end(name: str, arguments: dict[str, Any]) -> nn.Module:
    """The front end with this name, in a form that can be exported.

    Raises:
        ModelError: If it cannot be exported.
    """
    if name not in ONNX_FRONT_ENDS:
        raise ModelError(
            f"front end {name!r} cannot be exported; leave out --waveform to export from the "
            "log-mel on"
        )
    return ONNX_FRONT_ENDS[name](**arguments)


def _last(bands: Tensor) -> int:
    """The highest bin with a weight in bands (bins, n_mels)."""
    return int(torch.nonzero(bands.sum(1)).max())


def _reordered(bands: Tensor, bins: Tensor) -> Tensor:
    """The rows `bins` (K,) of bands (bins, n_mels): (K, n_mels), zero for bin -1."""
    return bands[bins.clamp(min=0)] * (bins >= 0).unsqueeze(1)
