"""CED's front end against torchaudio's transforms."""

import torch
from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

from audiotag.features.ced import CedMel


def loud_then_silent(loudness: float) -> torch.Tensor:
    """A second of noise and one of silence, (1, 32000)."""
    noise = loudness * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    return torch.cat([noise, torch.zeros(1, 16_000)], 1)


def expected(waveform: torch.Tensor) -> torch.Tensor:
    """The authors' own of one clip (1, T)."""
    mel = MelSpectrogram(
        16_000, n_fft=512, win_length=512, hop_length=160, f_min=0.0, f_max=8000.0, n_mels=64
    )
    return AmplitudeToDB(top_db=120)(mel(waveform))


def test_each_clip_is_clamped_by_itself():
    loud, quiet = loud_then_silent(0.9), loud_then_silent(1e-3)
    maps = CedMel()(torch.cat([loud, quiet]))
    assert maps.shape == (2, 1, 64, 201)
    for found, clip in zip(maps, (loud, quiet), strict=True):
        torch.testing.assert_close(found, expected(clip), rtol=0, atol=2e-4)
    assert maps[0].min() > -95 and maps[1].min() == -100  # only the loud one is clamped


def test_the_range_is_an_argument():
    levels = CedMel(top_db=40.0)(loud_then_silent(0.1))
    torch.testing.assert_close(levels.max() - levels.min(), torch.tensor(40.0))
