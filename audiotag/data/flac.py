"""FLAC in memory to 16-bit samples, by the faster of two decoders; both give the same samples."""

import numpy as np
import soundfile

from audiotag.decoders import Bytes

try:
    import miniaudio
except ImportError:  # there is no wheel for Linux on ARM
    miniaudio = None

# miniaudio takes 0.6 of libsndfile's time but decodes all or nothing: the frames that it finds
# damaged it leaves out, so that only their number tells.
WHOLE_SHARE = 0.6


class FlacError(Exception):
    """What is wrong with the data."""


def read_flac(data: bytes, length: int, first: int, last: int) -> np.ndarray:
    """Samples `first` to before `last` of a mono FLAC file of `length` samples: (T,), int16.

    Raises:
        FlacError: If the data is damaged or of another length.
    """
    if miniaudio is not None and last - first > WHOLE_SHARE * length:
        return _whole(data, length)[first:last]
    return _part(data, length, first, last)


def _whole(data: bytes, length: int) -> np.ndarray:
    try:
        samples = np.frombuffer(miniaudio.flac_read_s16(data).samples, np.int16)
    except miniaudio.DecodeError as error:
        raise FlacError(str(error)) from error
    _check(len(samples), length)
    return samples


def _part(data: bytes, length: int, first: int, last: int) -> np.ndarray:
    try:
        with soundfile.SoundFile(Bytes(data)) as file:
            _check(file.frames, length)
            file.seek(first)
            samples = file.read(last - first, dtype="int16")
    except soundfile.LibsndfileError as error:
        raise FlacError(str(error)) from error
    _check(first + len(samples), last)
    return samples


def _check(found: int, expected: int) -> None:
    if found != expected or not expected:
        raise FlacError(f"{found} samples, the index says {expected}")
