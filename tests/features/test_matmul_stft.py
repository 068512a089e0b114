"""The power spectrum from matrix products: against PyTorch's transform in double precision."""

import pytest
import torch

from audiotag.features.matmul_stft import PowerSpectrum

SIZES = [(1024, 320), (512, 160), (400, 160), (256, 300), (60, 77), (101, 320)]  # n_fft, hop


def reference(waveform, window, hop):
    """Power (B, bins, frames) in double precision."""
    spectrum = torch.stft(
        waveform.double(), len(window), hop, window=window.double(), return_complex=True
    )
    return spectrum.abs().square()


@pytest.mark.parametrize(("n_fft", "hop"), SIZES)
@pytest.mark.parametrize("length", [3200, 3519])
def test_equals_the_fourier_transform_of_any_size_hop_and_length(n_fft, hop, length):
    torch.manual_seed(0)
    waveform, window = torch.randn(2, length), torch.rand(n_fft)
    spectrum = PowerSpectrum(window, hop, n_fft // 2)
    power, expected = spectrum(waveform), reference(waveform, window, hop)
    heard = spectrum.bins >= 0
    assert sorted(spectrum.bins[heard].tolist()) == list(range(n_fft // 2 + 1))
    difference = (power[:, heard] - expected[:, spectrum.bins[heard]]).abs().max()
    assert difference < 2e-6 * expected.max()


def test_bins_up_to_the_last_are_there_and_few_others():
    spectrum = PowerSpectrum(torch.hann_window(1024), 320, 100)
    heard = spectrum.bins[spectrum.bins >= 0].tolist()
    assert set(range(101)) <= set(heard)
    assert len(spectrum.bins) < 200


def test_a_loud_tone_leaves_distant_bins_as_quiet_as_a_transform_in_single_precision():
    seconds = torch.arange(32_000) / 32_000
    waveform = torch.sin(2 * torch.pi * 441 * seconds).unsqueeze(0)
    window = torch.hann_window(1024)
    spectrum = PowerSpectrum(window, 320, 512)
    heard = spectrum.bins >= 0
    power = spectrum(waveform)[:, heard][:, :, 5:-5]
    expected = reference(waveform, window, 320)[:, spectrum.bins[heard]][:, :, 5:-5]
    distant = expected < 1e-9
    assert distant.any()
    assert power[distant].max() < 1e-8  # the tone's own bins reach 65,536
