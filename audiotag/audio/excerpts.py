"""A part of a recording, as it is stored: at its own rate, with all its channels.

What libsndfile reads is cut to the sample. Of other recordings the mixed channel is decoded.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from audiotag.audio.decoders import decode
from audiotag.audio.helper_process import Blocks, Warn
from audiotag.audio.helpers import in_helper
from audiotag.audio.sources import USUAL, DecodeError, Listening, checked_rate, ignore
from audiotag.errors import AudioError

HEADER = 4  # numbers before the samples: rate, channels, bits, and 1 for floating point
BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 24}
LONGEST = 600.0  # s of a part
CHANGED = 0.5  # s by which a duration may differ; a damaged header says another one


@dataclass(frozen=True)
class Excerpt:
    """A part of a recording.

    Attributes:
        rate: Hz.
        samples: (T, channels) float32.
        bits: Of a sample, as stored: 8, 16 or 24; 16 of compressed recordings.
        is_float: Whether samples were stored in floating point.
    """

    rate: int
    samples: np.ndarray
    bits: int
    is_float: bool


def excerpt(
    path: Path,
    start: float,
    end: float,
    listening: Listening = USUAL,
    duration: float | None = None,
) -> Excerpt:
    """The part of a recording from one second to another; decoded where it can be killed.

    Args:
        path: The recording.
        start: Seconds.
        end: Seconds.
        listening: The track and channel, if not all channels of the usual track.
        duration: Seconds that the recording has had; checked where libsndfile reads it.

    Raises:
        AudioError: It cannot be decoded, ends before, or has another duration; names file and
            reason.
    """
    last = min(end, start + LONGEST)
    arguments = (path.absolute(), str(path), start, last, listening, duration)
    values = np.concatenate(list(in_helper(str(path), numbers_of, arguments, ignore)))
    rate, channels, bits, is_float = values[:HEADER].astype(int).tolist()
    samples = values[HEADER:].reshape(-1, channels)
    if not len(samples):
        raise AudioError(f"{path}: ends before {start:.3f} s; is it the recording that was tagged?")
    return Excerpt(rate, samples, bits, bool(is_float))


def numbers_of(
    path: Path,
    name: str,
    start: float,
    end: float,
    listening: Listening,
    duration: float | None,
    warn: Warn,
) -> Blocks:
    """The numbers of an excerpt, for a helper: `HEADER` ones, then samples, interleaved.

    Raises:
        AudioError: As `excerpt`.
    """
    try:
        if listening == USUAL:
            yield from _by_libsndfile(path, name, start, end, duration)
            return None
    except soundfile.LibsndfileError:
        pass  # FFmpeg may know the format
    except OSError as error:
        raise AudioError(f"{name}: cannot be opened ({error.strerror})") from error
    try:
        for number, (rate, mono) in enumerate(decode(path, start, end - start, listening, warn)):
            if number == 0:
                yield np.array([rate, 1, 16, 0], np.float32)
            yield mono
    except DecodeError as error:
        raise AudioError(f"{name}: {error}") from error
    return None


def _by_libsndfile(
    path: Path, name: str, start: float, end: float, duration: float | None
) -> Blocks:
    with (
        open(path, "rb", buffering=0) as raw,
        soundfile.SoundFile(raw.fileno(), closefd=False) as file,
    ):
        rate, is_float = checked_rate(file.samplerate), file.subtype in ("FLOAT", "DOUBLE")
        now = file.frames / rate
        if duration is not None and abs(now - duration) > CHANGED:
            raise AudioError(
                f"{name}: lasts {now:.1f} s, and {duration:.1f} s when it was tagged; tag it again"
            )
        first, last = round(start * rate), round(end * rate)
        yield np.array([rate, file.channels, BITS.get(file.subtype, 16), is_float], np.float32)
        if first < file.frames:
            file.seek(first)
            samples = file.read(min(last, file.frames) - first, dtype="float32", always_2d=True)
            yield samples.reshape(-1)
    return None
