"""EfficientAT's front end against a computation in numpy, in double precision."""

import numpy as np
import pytest
import torch

from audiotag.features.efficientat import EfficientATMel

SAMPLE_RATE = 32_000


def hz_to_mel(frequency):
    """Kaldi's mel scale."""
    return 1127 * np.log(1 + np.asarray(frequency, dtype=float) / 700)


def triangles(n_mels: int, n_fft: int, f_min: float, f_max: float) -> np.ndarray:
    """Filters (n_mels, n_fft / 2 + 1), triangular on the mel scale, as Kaldi documents them."""
    edges = np.linspace(hz_to_mel(f_min), hz_to_mel(f_max), n_mels + 2)
    mel = hz_to_mel(np.arange(n_fft // 2 + 1) * SAMPLE_RATE / n_fft)
    return np.stack(
        [np.interp(mel, edges[i : i + 3], [0, 1, 0], left=0, right=0) for i in range(n_mels)]
    )


def log_mel(samples: np.ndarray, n_mels=128, f_min=0.0, f_max=15_000.0) -> np.ndarray:
    """The front end from its description, frame by frame: samples (T,) to (n_mels, frames)."""
    samples = samples.astype(float)
    samples = np.pad(samples[1:] - 0.97 * samples[:-1], 512, mode="reflect")
    n = np.arange(800)
    window = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * n / 799), 112)
    frames = [samples[i : i + 1024] * window for i in range(0, len(samples) - 1023, 320)]
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    return (np.log(triangles(n_mels, 1024, f_min, f_max) @ power.T + 1e-5) + 4.5) / 5


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.02, 0.5, 2.0])
def test_equals_numpy(seconds):
    samples = np.stack([noise(seconds, 1), noise(seconds, 2)])
    maps = EfficientATMel()(torch.from_numpy(samples))
    expected = np.stack([log_mel(x) for x in samples])[:, None]
    assert maps.shape == expected.shape
    np.testing.assert_allclose(maps.numpy(), expected, atol=1e-4)


def test_arguments_reach_the_filters():
    samples = noise(0.3)
    features = EfficientATMel(n_mels=64, f_min=200.0, f_max=8_000.0)
    expected = log_mel(samples, n_mels=64, f_min=200.0, f_max=8_000.0)
    np.testing.assert_allclose(features(torch.from_numpy(samples)[None])[0, 0], expected, atol=1e-4)


def test_ten_seconds_make_a_thousand_frames():
    assert EfficientATMel()(torch.zeros(1, 320_000)).shape == (1, 1, 128, 1000)


def test_silence_is_the_floor():
    maps = EfficientATMel()(torch.zeros(1, 32_000))
    np.testing.assert_allclose(maps, (np.log(1e-5) + 4.5) / 5, rtol=1e-6)


def test_autocast_leaves_it_in_single_precision():
    features, waveform = EfficientATMel(), torch.from_numpy(noise(0.5))[None]
    with torch.autocast("cpu", torch.bfloat16):
        maps = features(waveform)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps, features(waveform), atol=0, rtol=0)


def test_nothing_to_save():
    assert not EfficientATMel().state_dict()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu():
    features, waveform = EfficientATMel(), torch.from_numpy(noise(1.0))[None]
    expected = features(waveform)
    torch.testing.assert_close(features.cuda()(waveform.cuda()).cpu(), expected, atol=1e-3, rtol=0)
