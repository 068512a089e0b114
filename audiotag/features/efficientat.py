"""EfficientAT's front end (arXiv 2211.04772): waveform to normalised log-mel map.

It differs from `log_mel.LogMel` in pre-emphasis, window and mel bands, which are Kaldi's.
"""

import torch
from torch import Tensor, nn

from audiotag.features.mel import Mel
from audiotag.features.mel_bank import mel_triangles
from audiotag.features.numpy_front_ends import LOG_OFFSET, MEAN, PRE_EMPHASIS, SCALE

SAMPLE_RATE = 32_000  # Hz
N_FFT = 1024  # samples
WIN_LENGTH = 800  # samples, 25 ms
HOP_LENGTH = 320  # samples, 10 ms
N_MELS = 128
F_MIN = 0.0  # Hz
F_MAX = 15_000.0  # Hz


class EfficientATMel(nn.Module):
    """Waveform (B, T) in [-1, 1] to a log-mel map (B, 1, n_mels, 1 + (T - 1) // hop_length).

    Computes in float32 under autocast too: the power spectrum overflows float16, and bfloat16 is
    too coarse for the logarithm of a quiet band. T must exceed n_fft / 2, as the STFT is centred
    with reflected edges.

    Args:
        sample_rate: Of the waveform, Hz.
        n_fft: Length of the Fourier transform, samples.
        win_length: Length of the symmetric Hann window, samples.
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
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.win_length = win_length
        self.hop_length = hop_length
        window = torch.hann_window(win_length, periodic=False)
        bands = torch.from_numpy(mel_triangles(n_fft, sample_rate, n_mels, f_min, f_max))
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bands", bands, persistent=False)
        side = n_fft - win_length  # torch.stft's frames are in the window's middle
        framed = nn.functional.pad(window, (side // 2, side - side // 2))
        self.mel = Mel(framed, hop_length, bands)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map (B, T) to (B, 1, n_mels, frames)."""
        with torch.autocast(waveform.device.type, enabled=False):
            waveform = waveform.float()
            # y[t] = x[t+1] - 0.97 x[t], one sample earlier than usual: EfficientAT's convolution
            # has no padding, so its output is one sample shorter than its input.
            emphasised = waveform[:, 1:] - PRE_EMPHASIS * waveform[:, :-1]
            mel = self._mel_of(emphasised)
            return (((mel + LOG_OFFSET).log() - MEAN) / SCALE).unsqueeze(1)

    def _mel_of(self, waveform: Tensor) -> Tensor:
        return self.mel(waveform, self._in_bands)

    def _in_bands(self, waveform: Tensor) -> Tensor:
        return self.bands.T @ self._power(waveform)

    def _power(self, waveform: Tensor) -> Tensor:
        """Power spectrogram (B, n_fft / 2 + 1, frames)."""
        spectrum = torch.stft(
            waveform,
            self.n_fft,
            hop_length=self.hop_length,
            win_length=self.win_length,
            window=self.window,
            return_complex=True,
        )
        return spectrum.real.square() + spectrum.imag.square()
