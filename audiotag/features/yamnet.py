"""YAMNet's front end: waveform to log-mel map, of magnitudes instead of powers."""

import torch
from torch import Tensor, nn

from audiotag.features.mel_bank import mel_triangles

SAMPLE_RATE = 16_000  # Hz
N_FFT = 512  # samples
WIN_LENGTH = 400  # samples, 25 ms
HOP_LENGTH = 160  # samples, 10 ms
N_MELS = 64
F_MIN = 125.0  # Hz
F_MAX = 7_500.0  # Hz
LOG_OFFSET = 1e-3  # magnitude added before the logarithm


class YamnetMel(nn.Module):
    """Waveform (B, T) in [-1, 1] to a log-mel map (B, 1, n_mels, frames), with
    1 + (T - win_length) // hop_length frames.

    All frames lie within the waveform. The bands are triangles on HTK's mel scale (`mel_bank`).

    Args:
        sample_rate: Of the waveform, Hz.
        n_fft: Length of the Fourier transform, samples.
        win_length: Length of the periodic Hann window, samples.
        hop_length: Distance of frames, samples.
        n_mels: Number of mel bands.
        f_min: Lower edge of the lowest band, Hz.
        f_max: Upper edge of the highest band, Hz.
    """

    window: Tensor
    bands: Tensor

    def __init__(
        self,
        sample_rate: int = SAMPLE_RATE,
        n_fft: int = N_FFT,
        win_length: int = WIN_LENGTH,
        hop_length: int = HOP_LENGTH,
        n_mels: int = N_MELS,
        f_min: float = F_MIN,
        f_max: float = F_MAX,
    ) -> None:
        super().__init__()
        self.sample_rate, self.n_fft = sample_rate, n_fft
        self.win_length, self.hop_length = win_length, hop_length
        self.register_buffer("window", torch.hann_window(win_length), persistent=False)
        bands = mel_triangles(n_fft, sample_rate, n_mels, f_min, f_max)
        self.register_buffer("bands", torch.from_numpy(bands), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map (B, T) to (B, 1, n_mels, frames)."""
        with torch.autocast(waveform.device.type, enabled=False):
            frames = waveform.float().unfold(1, self.win_length, self.hop_length)
            magnitudes = torch.fft.rfft(frames * self.window, self.n_fft).abs()
            return (magnitudes @ self.bands + LOG_OFFSET).log().mT.unsqueeze(1)
