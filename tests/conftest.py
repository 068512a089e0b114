"""Fixtures of several rooms: a tiny model, synthetic files, real data where a variable names it.

Nothing heavy is imported before a test asks for it; a room's own fixtures lie in its conftest.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.tiny_models import TEST_DATA, TINY


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real recordings and weights; tests that need it are skipped without it."""
    if TEST_DATA not in os.environ:
        pytest.skip(f"{TEST_DATA} does not name a folder of real data")
    return Path(os.environ[TEST_DATA])


@pytest.fixture
def tiny_tagger():
    """A DCLS ConvNeXt of some 40,000 parameters with AudioSet's labels and random weights."""
    import torch

    from audiotag.label_set import Labels
    from audiotag.models.config import ModelConfig
    from audiotag.models.model import Model

    torch.manual_seed(0)
    config = ModelConfig("convnext_dcls_audio_atto", Labels.audioset(), model_args=dict(TINY))
    return Model.create(config, name="tiny").eval()


@pytest.fixture
def make_wav():
    """A function (path, seconds, sample_rate, channels, frequency) that writes a sine."""

    def make(path, seconds=1.0, sample_rate=32_000, channels=1, frequency=440.0) -> Path:
        time = np.arange(round(seconds * sample_rate)) / sample_rate
        tone = 0.5 * np.sin(2 * np.pi * frequency * time)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.repeat(tone[:, None], channels, axis=1), sample_rate)
        return Path(path)

    return make
