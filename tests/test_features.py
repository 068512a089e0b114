"""The front end against torchaudio's transforms and NumPy."""

import numpy as np
import pytest
import torch
from torchaudio.transforms import AmplitudeToDB, MelScale, Spectrogram

from audiotag.features import LogMel

MEAN, STD = -18.2696, 30.5735


@pytest.fixture
def waveform():
    """Noise with a tone that comes and goes, (2, 96000)."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(96_000) / 32_000
    tone = torch.sin(2 * torch.pi * 1000 * time) * (time > 1)
    return 0.1 * torch.randn(2, len(time), generator=generator) + 0.3 * tone


def test_equals_torchaudio(waveform):
    spectrogram = Spectrogram(n_fft=1024, hop_length=320, power=2.0)
    mel = MelScale(n_mels=128, sample_rate=32_000, f_min=50.0, f_max=14_000.0, n_stft=513)
    expected = (AmplitudeToDB("power", None)(mel(spectrogram(waveform))) - MEAN) / STD
    maps = LogMel()(waveform)
    assert maps.shape == (2, 1, 128, 301)
    torch.testing.assert_close(maps[:, 0], expected, rtol=0, atol=1e-5)


def test_equals_numpy_in_double_precision(waveform):
    maps = LogMel()(waveform)[0, 0, :, 150].double().numpy()
    frame = waveform[0, 150 * 320 - 512 : 150 * 320 + 512].double().numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    power = np.abs(np.fft.rfft(frame * window)) ** 2
    edges = np.linspace(2595 * np.log10(1 + 50 / 700), 2595 * np.log10(1 + 20), 130)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    bins = np.arange(513) * 32_000 / 1024
    rise = (bins[None] - hertz[:-2, None]) / (hertz[1:-1] - hertz[:-2])[:, None]
    fall = (hertz[2:, None] - bins[None]) / (hertz[2:] - hertz[1:-1])[:, None]
    levels = 10 * np.log10(np.maximum(np.maximum(0, np.minimum(rise, fall)) @ power, 1e-10))
    np.testing.assert_allclose(maps, (levels - MEAN) / STD, atol=1e-4)


def test_ten_seconds_are_128_by_1001():
    assert LogMel()(torch.zeros(1, 320_000)).shape == (1, 1, 128, 1001)


def test_silence_is_the_floor_and_finite():
    maps = LogMel()(torch.zeros(1, 64_000))
    torch.testing.assert_close(maps, torch.full_like(maps, (-100 - MEAN) / STD))


def test_autocast_does_not_change_it(waveform):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = LogMel()(waveform)
    assert torch.equal(maps, LogMel()(waveform))
