"""Sounds to listen to, made of a sample, and the embedded model."""

import io
from importlib.resources import files

import numpy as np
import pytest
import soundfile
import soxr

RATE = 16_000


@pytest.fixture(scope="session")
def engine():
    """The embedded model."""
    from audiotag.tagging.open import open_engine

    return open_engine()


@pytest.fixture(scope="session")
def cats() -> np.ndarray:
    """16 s at 16 kHz, with a cat at 4 and at 10 s, in silence."""
    sample, rate = soundfile.read(str(files("audiotag") / "assets/samples/cat.mp3"))
    cat = soxr.resample(sample if sample.ndim == 1 else sample.mean(axis=1), rate, RATE)
    sound = np.zeros(16 * RATE, np.float32)
    for second in (4, 10):
        sound[second * RATE :][: len(cat)] += cat / 2
    return sound


@pytest.fixture(scope="session")
def encoded(cats):
    """A function from a format to the bytes of such a file: wav, flac, mp3 or ogg."""

    def encode(form: str, rate: int = RATE, seconds: float = 16.0) -> bytes:
        content = io.BytesIO()
        sound = soxr.resample(cats[: round(seconds * RATE)], RATE, rate)
        soundfile.write(content, sound, rate, format=form)
        return content.getvalue()

    return encode
