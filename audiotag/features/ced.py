"""CED's front end: waveform at 16 kHz to log-mel map in dB, of a limited range in each clip.

arXiv 2308.11957; torchaudio's `MelSpectrogram` and `AmplitudeToDB`, which is given one clip at a
time: of several it would take the loudest value of all.
"""

from torch import Tensor

from audiotag.features.log_mel import LogMel

SAMPLE_RATE = 16_000  # Hz
N_FFT = 512  # samples of window and transform
HOP_LENGTH = 160  # samples, 10 ms
N_MELS = 64
F_MIN = 0.0  # Hz
F_MAX = 8_000.0  # Hz
TOP_DB = 120.0


class CedMel(LogMel):
    """Waveform (B, T) in [-1, 1] to a log-mel map (B, 1, n_mels, 1 + T // hop_length) in dB.

    Args:
        sample_rate: Of the waveform, Hz.
        n_fft: Samples of the Hann window and of the transform.
        hop_length: Samples from one frame to the next.
        n_mels: Mel bands, on HTK's scale, their peak one.
        f_min: Lower edge of the lowest band, Hz.
        f_max: Upper edge of the highest band, Hz.
        top_db: The least value of a clip lies at most so far below its largest.
    """

    def __init__(
        self,
        sample_rate: int = SAMPLE_RATE,
        n_fft: int = N_FFT,
        hop_length: int = HOP_LENGTH,
        n_mels: int = N_MELS,
        f_min: float = F_MIN,
        f_max: float = F_MAX,
        top_db: float = TOP_DB,
    ) -> None:
        super().__init__(sample_rate, n_fft, hop_length, n_mels, f_min, f_max, mean=0.0, std=1.0)
        self.top_db = top_db

    def _levels(self, mel: Tensor) -> Tensor:
        levels = super()._levels(mel)
        return levels.maximum(levels.amax((1, 2, 3), keepdim=True) - self.top_db)
