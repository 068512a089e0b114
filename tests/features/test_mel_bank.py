"""Window and bands of a front end: what a file carries is the same to the bit."""

import json

import numpy as np
import pytest
from torchaudio.compliance.kaldi import get_mel_banks

from audiotag.features.front_ends import build_mel_bank
from audiotag.features.mel_bank import MelBank, mel_triangles

CASES = [
    ("log_mel", {}),
    ("log_mel", {"mel_scale": "slaney", "norm": "slaney", "n_mels": 224}),
    ("log_mel", {"n_fft": 400, "hop_length": 160, "n_mels": 128}),  # some bands have no bin
    ("efficientat_mel", {}),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_text_gives_back_every_bit(name, arguments):
    bank = build_mel_bank(name, arguments)
    read = MelBank.from_json(bank.to_json())
    for ours, theirs in ((read.window, bank.window), (read.bands, bank.bands)):
        assert ours.dtype == theirs.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


def test_text_holds_each_bands_first_bin_and_weights():
    bands = np.array([[0, 0], [0.5, 0], [1, 0], [0, 0]], np.float32)
    bank = MelBank(np.array([0.1, 1], np.float32), bands)
    assert json.loads(bank.to_json()) == {
        "window": [0.1, 1.0],
        "bins": 4,
        "bands": [[1, [0.5, 1.0]], [0, []]],
    }


def test_triangles_are_straight_in_mel_and_peak_at_their_centres():
    bands = mel_triangles(512, 16_000, 64, 125.0, 7500.0)
    assert bands.shape == (257, 64) and bands.dtype == np.float32
    mel = 2595 * np.log10(1 + np.arange(257) * 16_000 / 512 / 700)
    step = 2595 * (np.log10(1 + 7500 / 700) - np.log10(1 + 125 / 700)) / 65
    first = 2595 * np.log10(1 + 125 / 700)
    centres = first + step * np.arange(1, 65)
    expected = np.clip(1 - np.abs(mel[:, None] - centres) / step, 0, None)
    np.testing.assert_allclose(bands, expected, atol=1e-5)


@pytest.mark.parametrize(
    "numbers", [(1024, 32_000, 128, 0.0, 15_000.0), (512, 16_000, 64, 125.0, 7500.0)]
)
def test_triangles_are_kaldis(numbers):
    n_fft, rate, n_mels, f_min, f_max = numbers
    theirs, _ = get_mel_banks(n_mels, n_fft, rate, f_min, f_max, 0.0, 0.0, 1.0)
    ours = mel_triangles(*numbers)
    np.testing.assert_allclose(ours[:-1], theirs.numpy().T, atol=2e-5)  # theirs is in float32
    assert not ours[-1].any()  # Kaldi leaves out the bin at half the sample rate
