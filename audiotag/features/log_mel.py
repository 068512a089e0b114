"""The default front end: waveforms (B, T) to log-mel maps (B, 1, n_mels, frames), on any device."""

import torch
import torchaudio
from torch import Tensor, nn

from audiotag.features.mel import Mel
from audiotag.features.numpy_front_ends import POWER_FLOOR


class LogMel(nn.Module):
    """Log-mel spectrogram: mel bands of a power spectrogram, in dB, then normalised.

    The defaults are those of arXiv 2309.13972.

    Args:
        sample_rate: Hz.
        n_fft: Samples of the Hann window and of the transform.
        hop_length: Samples from one frame to the next.
        n_mels: Mel bands.
        f_min: Lowest frequency, Hz.
        f_max: Highest frequency, Hz.
        mean: Mean of the dB values; subtracted.
        std: Standard deviation of the dB values; divided by.
        mel_scale: "htk" or "slaney": the scale on which all bands have the same width.
        norm: "slaney": each band has an area of 1. None: each band has a peak of 1.

    Raises:
        ValueError: If `mel_scale` or `norm` is unknown.
    """

    window: Tensor
    bands: Tensor

    def __init__(
        self,
        sample_rate: int = 32_000,
        n_fft: int = 1024,
        hop_length: int = 320,
        n_mels: int = 128,
        f_min: float = 50.0,
        f_max: float = 14_000.0,
        mean: float = -18.2696,
        std: float = 30.5735,
        mel_scale: str = "htk",
        norm: str | None = None,
    ) -> None:
        super().__init__()
        self.sample_rate, self.n_fft, self.hop_length = sample_rate, n_fft, hop_length
        self.mean, self.std = mean, std
        bands = torchaudio.functional.melscale_fbanks(
            n_fft // 2 + 1, f_min, f_max, n_mels, sample_rate, norm, mel_scale
        )
        window = torch.hann_window(n_fft)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bands", bands, persistent=False)
        self.mel = Mel(window, hop_length, bands)

    def forward(self, waveform: Tensor) -> Tensor:
        """Log-mel maps (B, 1, n_mels, 1 + T // hop_length) of waveforms (B, T) in [-1, 1]."""
        with torch.autocast(waveform.device.type, enabled=False):
            return self._levels(self._mel_of(waveform.float()))

    def power(self, waveform: Tensor) -> Tensor:
        """Power spectrogram (B, n_fft // 2 + 1, frames), in single precision under autocast too."""
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float(),
                self.n_fft,
                self.hop_length,
                window=self.window,
                center=True,
                return_complex=True,
            )
            return spectrum.real.square() + spectrum.imag.square()

    def from_power(self, power: Tensor) -> Tensor:
        """Log-mel maps (B, 1, n_mels, frames) of power spectrograms (B, bins, frames)."""
        with torch.autocast(power.device.type, enabled=False):
            return self._levels(self.bands.T @ power)

    def _mel_of(self, waveform: Tensor) -> Tensor:
        return self.mel(waveform, self._in_bands)

    def _in_bands(self, waveform: Tensor) -> Tensor:
        return self.bands.T @ self.power(waveform)

    def _levels(self, mel: Tensor) -> Tensor:
        levels = (10 * mel.clamp(min=POWER_FLOOR).log10() - self.mean) / self.std
        return levels.unsqueeze(1)
