"""YAMNet's front end: waveform to log-mel map of magnitudes."""

import torch
from torch import Tensor, nn

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

    Frames lie wholly within the waveform. The bands are triangles on HTK's mel scale, of
    magnitudes, not powers.

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
        bands = _mel_triangles(n_fft, sample_rate, n_mels, f_min, f_max)
        self.register_buffer("bands", bands, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map (B, T) to (B, 1, n_mels, frames)."""
        with torch.autocast(waveform.device.type, enabled=False):
            frames = waveform.float().unfold(1, self.win_length, self.hop_length)
            magnitudes = torch.fft.rfft(frames * self.window, self.n_fft).abs()
            return (magnitudes @ self.bands + LOG_OFFSET).log().mT.unsqueeze(1)


def _mel_triangles(n_fft: int, sample_rate: int, n_mels: int, f_min: float, f_max: float) -> Tensor:
    """Weights (n_fft / 2 + 1, n_mels) of triangles that are straight in mel, not in Hz."""
    hertz = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    mel = 1127 * (1 + hertz / 700).log()
    ends = 1127 * (1 + torch.tensor([f_min, f_max], dtype=torch.float64) / 700).log()
    corners = torch.linspace(float(ends[0]), float(ends[1]), n_mels + 2, dtype=torch.float64)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rise = (mel[:, None] - left) / (centre - left)
    fall = (right - mel[:, None]) / (right - centre)
    return torch.minimum(rise, fall).clamp(min=0).float()
