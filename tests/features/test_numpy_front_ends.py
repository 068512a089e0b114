"""The NumPy front ends: against the PyTorch ones."""

import inspect

import numpy as np
import pytest
import torch

from audiotag.errors import ModelError
from audiotag.features.front_ends import FRONT_ENDS as TORCH_FRONT_ENDS
from audiotag.features.front_ends import build_mel_bank
from audiotag.features.numpy_front_ends import FRONT_ENDS, check_numpy_front_end

CASES = [
    ("log_mel", {}),
    ("log_mel", {"mel_scale": "slaney", "norm": "slaney", "n_mels": 224}),
    ("log_mel", {"sample_rate": 16_000, "n_fft": 400, "hop_length": 160, "f_max": 8000.0}),
    ("efficientat_mel", {}),
    ("ced_mel", {}),
    ("ced_mel", {"top_db": 30.0}),
    ("efficientat_mel", {"n_mels": 64, "win_length": 1024, "f_min": 40.0}),
]
# Normalised maps. The logarithm of a 32-bit transform that is nearly 0 in a narrow band differs by
# up to 3e-5 from one FFT library to the other.
TOLERANCE = 5e-5


def both(name, arguments):
    """The two front ends of a name, the NumPy one with all arguments spelled out."""
    cls = TORCH_FRONT_ENDS[name]
    defaults = {p.name: p.default for p in inspect.signature(cls).parameters.values()}
    bank = build_mel_bank(name, arguments)
    return cls(**arguments), FRONT_ENDS[name](bank, {**defaults, **arguments})


@pytest.mark.parametrize(("name", "arguments"), CASES)
@pytest.mark.parametrize("length", [32_000, 52_801])
def test_maps_equal_those_of_torch(name, arguments, length):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, length)) * np.sin(np.arange(length) / 9000) * 0.1
    waveform = noise.astype(np.float32)
    ours, theirs = both(name, arguments)
    maps, expected = theirs(waveform), ours(torch.from_numpy(waveform)).numpy()
    assert maps.dtype == np.float32
    assert maps.shape == expected.shape
    assert np.abs(maps - expected).max() < TOLERANCE
    assert np.abs(maps - expected).mean() < TOLERANCE / 50


@pytest.mark.parametrize(("name", "arguments"), CASES[:2])
def test_silence_is_the_floor_in_both(name, arguments):
    silence = np.zeros((1, 32_000), np.float32)
    ours, theirs = both(name, arguments)
    np.testing.assert_allclose(theirs(silence), ours(torch.from_numpy(silence)).numpy(), rtol=1e-6)


def test_front_ends_have_one():
    assert FRONT_ENDS.keys() == TORCH_FRONT_ENDS.keys() - {"yamnet_mel"}  # a teacher's alone


def test_an_unknown_front_end_is_refused():
    with pytest.raises(ModelError, match="'wavelets' needs torch; export the model with"):
        check_numpy_front_end("wavelets")
