"""Mel power, in C and in NumPy: against the Fourier sum written out, in double precision."""

import copy
import threading

import numpy as np
import pytest

from audiotag.features import mel_power
from audiotag.features.mel_power import MelPower

built = pytest.mark.skipif(mel_power.library() is None, reason="needs a build of mel_power.c")
TOLERANCE = 3e-6  # of the highest power
# n_fft, hop, bands, samples: every number of passes, frames fewer and more than a vector has lanes.
SHAPES = [
    (2, 1, 1, 5),
    (4, 3, 2, 40),
    (8, 8, 3, 100),
    (16, 5, 7, 30),
    (64, 10, 20, 1000),
    (128, 32, 9, 65),
    (256, 100, 40, 4000),
    (512, 160, 64, 2600),
    (1024, 320, 128, 16_000),
    (2048, 441, 80, 9_000),
]


def case(n_fft, hop, n_mels, length):
    """Window, bands with gaps and bins that none hears, and two waveforms."""
    rng = np.random.default_rng(n_fft)
    bins = n_fft // 2 + 1
    bands = rng.random((bins, n_mels)) * (rng.random((bins, n_mels)) > 0.3)
    if bins > 8:
        bands[:2] = bands[-3:] = 0
    bands[bins // 2, 0] = 1
    if n_mels > 2:
        bands[:, 1] = 0  # a band too narrow for any bin
    return rng.random(n_fft) + 0.1, bands, rng.standard_normal((2, length)).astype(np.float32)


def expected(window, hop, bands, waveforms):
    """Power (B, n_mels, frames) by the definition."""
    n_fft = len(window)
    n, k = np.arange(n_fft), np.arange(n_fft // 2 + 1)
    waves = np.exp(-2j * np.pi * (np.outer(n, k) % n_fft) / n_fft)
    half = n_fft // 2
    padded = np.pad(waveforms.astype(np.float64), ((0, 0), (half, half)), mode="reflect")
    starts = range(0, padded.shape[1] - n_fft + 1, hop)
    frames = np.stack([padded[:, start : start + n_fft] for start in starts], axis=1)
    return np.swapaxes(np.abs(frames * window @ waves) ** 2 @ bands, 1, 2)


def assert_close(power, exact):
    assert power.dtype == np.float32 and power.shape == exact.shape
    assert np.abs(power - exact).max() < TOLERANCE * exact.max()


@built
@pytest.mark.parametrize("shape", SHAPES)
def test_c_equals_the_definition(shape):
    window, bands, waveforms = case(*shape)
    compute = MelPower(window, shape[1], bands)
    assert_close(compute(waveforms), expected(window, shape[1], bands, waveforms))


@pytest.mark.parametrize("shape", [*SHAPES[2:9:3], (400, 160, 40, 2000)])
def test_numpy_equals_the_definition(shape, monkeypatch):
    monkeypatch.setattr(mel_power, "library", lambda: None)
    window, bands, waveforms = case(*shape)
    compute = MelPower(window, shape[1], bands)
    assert_close(compute(waveforms), expected(window, shape[1], bands, waveforms))


def test_waveforms_of_any_layout_and_a_copy_give_the_same():
    window, bands, waveforms = case(*SHAPES[8])
    compute = MelPower(window, 320, bands)
    power = compute(waveforms)
    spread = np.repeat(waveforms, 2, axis=1)[:, ::2]
    assert not spread.flags.c_contiguous
    np.testing.assert_array_equal(compute(spread), power)
    np.testing.assert_array_equal(copy.deepcopy(compute)(waveforms), power)


def test_threads_do_not_disturb_each_other():
    window, bands, waveforms = case(*SHAPES[7])
    compute = MelPower(window, 160, bands)
    powers = [compute(waveforms * np.float32(k)) for k in range(8)]
    found = [None] * 8

    def work(k):
        for _ in range(20):
            found[k] = compute(waveforms * np.float32(k))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine, alone in zip(found, powers, strict=True):
        np.testing.assert_array_equal(mine, alone)
