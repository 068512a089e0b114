"""The front end against torchaudio's transforms and NumPy."""

import numpy as np
import pytest
import torch
from torchaudio.transforms import AmplitudeToDB, MelScale, Spectrogram

from audiotag.features.log_mel import LogMel

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


def slaney_bands(n_mels, f_min, f_max, hertz):
    """Slaney's Auditory Toolbox: linear to 1 kHz, logarithmic above, triangles of area one."""

    def to_mel(f):
        return f * 3 / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)

    mels = np.linspace(to_mel(f_min), to_mel(f_max), n_mels + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((hertz - low) / (peak - low), (high - hertz) / (high - peak))
    return np.maximum(0, triangles) * 2 / (high - low)


def test_slaney_scale_and_norm_equal_numpy_in_double_precision(waveform):
    front_end = LogMel(n_mels=224, mel_scale="slaney", norm="slaney", mean=0.0, std=1.0)
    maps = front_end(waveform)[0, 0, :, 200].double().numpy()
    frame = waveform[0, 200 * 320 - 512 : 200 * 320 + 512].double().numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    power = np.abs(np.fft.rfft(frame * window)) ** 2
    bands = slaney_bands(224, 50.0, 14_000.0, np.arange(513) * 32_000 / 1024)
    # The narrowest bands have one bin each, near their edge: single precision is 0.02 dB off.
    np.testing.assert_allclose(maps, 10 * np.log10(bands @ power), atol=0.02)
    np.testing.assert_allclose(front_end.bands.T, bands, atol=1e-6)


@pytest.mark.parametrize("argument", ["mel_scale", "norm"])
def test_unknown_scale_or_norm_is_an_error(argument):
    with pytest.raises(ValueError, match=argument):
        LogMel(**{argument: "other"})


def test_ten_seconds_are_128_by_1001():
    assert LogMel()(torch.zeros(1, 320_000)).shape == (1, 1, 128, 1001)


def test_silence_is_the_floor_and_finite():
    maps = LogMel()(torch.zeros(1, 64_000))
    torch.testing.assert_close(maps, torch.full_like(maps, (-100 - MEAN) / STD))


def test_autocast_does_not_change_it(waveform):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = LogMel()(waveform)
    assert torch.equal(maps, LogMel()(waveform))
