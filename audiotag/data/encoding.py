"""The encoding of clips in shards: FLAC or WAV files, mono, 16 bits.

FLAC takes half the space; WAV need not be decoded. The first bytes of a file show which it is.
"""

import io
import struct

import numpy as np
import soundfile

from audiotag.audio.sources import Bytes

try:
    import miniaudio
except ImportError:  # there is no wheel for Linux on ARM
    miniaudio = None
FLAC, WAV = "flac", "wav"
ENCODINGS = (FLAC, WAV)  # and the suffixes of the files
PCM_16_SCALE = 32767.0
WAV_START = b"RIFF"
# Header that libsndfile writes before 16-bit samples: a format chunk of 16 bytes, a data chunk.
WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
# Fraction of a clip: a longer part is cut from the whole clip, which miniaudio decodes in 0.6 of
# libsndfile's time. It skips damaged frames, which only the number of samples shows.
WHOLE_FROM = 0.6


class DecodingError(Exception):
    """Encoded samples that are damaged; the message says how."""


def encode(samples: np.ndarray, sample_rate: int, encoding: str) -> bytes:
    """The bytes of a 16-bit file of samples (T,) in [-1, 1], in one of `ENCODINGS`."""
    file = io.BytesIO()
    pcm = np.round(np.clip(samples, -1, 1) * PCM_16_SCALE).astype(np.int16)
    soundfile.write(file, pcm, sample_rate, format=encoding.upper(), subtype="PCM_16")
    return file.getvalue()


def decode(data: bytes, length: int, first: int, last: int) -> np.ndarray:
    """Samples `first` to before `last` of an encoded clip of `length` samples: (T,), int16.

    Raises:
        DecodingError: If the data is damaged or of another length.
    """
    if data.startswith(WAV_START):
        return _wav(data, length)[first:last]
    if miniaudio is not None and last - first > WHOLE_FROM * length:
        return _flac(data, length)[first:last]
    return _flac_part(data, length, first, last)


def _wav(data: bytes, length: int) -> np.ndarray:
    if len(data) < WAV_HEADER.size:
        raise DecodingError("its header is cut off")
    *_, channels, _, _, _, bits, chunk, size = WAV_HEADER.unpack_from(data)
    if (channels, bits, chunk, size) != (1, 16, b"data", len(data) - WAV_HEADER.size):
        raise DecodingError("it is cut off, or its header damaged")
    samples = np.frombuffer(data, "<i2", offset=WAV_HEADER.size)
    _check(len(samples), length)
    return samples


def _flac(data: bytes, length: int) -> np.ndarray:
    try:
        samples = np.frombuffer(miniaudio.flac_read_s16(data).samples, np.int16)
    except miniaudio.DecodeError as error:
        raise DecodingError(str(error)) from error
    _check(len(samples), length)
    return samples


def _flac_part(data: bytes, length: int, first: int, last: int) -> np.ndarray:
    try:
        with soundfile.SoundFile(Bytes(data)) as file:
            _check(file.frames, length)
            file.seek(first)
            samples = file.read(last - first, dtype="int16")
    except soundfile.LibsndfileError as error:
        raise DecodingError(str(error)) from error
    _check(first + len(samples), last)
    return samples


def _check(found: int, expected: int) -> None:
    if found != expected or not expected:
        raise DecodingError(f"{found} samples, the index says {expected}")
