"""What is heard of a file in memory, with the warnings."""

import io

import numpy as np
import soundfile

from audiotag.audio.in_memory import Sound
from audiotag.audio.sources import USUAL
from audiotag.audio.streams import stream

RATE = 48_000  # Hz, of what is heard


def heard(source, listening=USUAL, start=0.0, duration=None):
    """Samples (T,) at `RATE` of a file's bytes, its path or a sound, and the warnings."""
    warnings: list[str] = []
    sound = Sound("sound", source) if isinstance(source, bytes) else source
    blocks = stream(sound, RATE, start, duration, listening, warnings.append)
    return np.concatenate(list(blocks)), warnings


def sound_file(samples, rate, form="WAV", subtype="PCM_16", endian=None) -> bytes:
    """Samples (T,) or (T, C) as a file, written by libsndfile."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, subtype=subtype, endian=endian, format=form)
    return buffer.getvalue()


def as_libsndfile(data: bytes) -> np.ndarray:
    """The mean of the channels of a file that is right, read by libsndfile."""
    return soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0].mean(axis=1)
