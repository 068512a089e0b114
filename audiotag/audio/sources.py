"""What decoders read, a file or its bytes, and what they give: blocks of mono samples."""

import io
from pathlib import Path
from typing import IO

import numpy as np

BLOCK_VALUES = 2**20  # samples times channels held at once by a decoder
MIN_RATE, MAX_RATE = 100, 10_000_000  # Hz; beyond these a header is damaged, not unusual
Source = Path | bytes  # of a file, or all that is in it
Block = tuple[int, np.ndarray]  # sample rate in Hz, mono float32 samples (T,)


class DecodeError(Exception):
    """A decoder found nothing (more) to decode; the message is the reason, without the name."""


class Bytes(io.BytesIO):
    """A file in memory; a seek to before its beginning, as damaged headers ask for, is ignored.

    soundfile calls `seek` from C, where an exception is printed instead of raised.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


def open_source(source: Source) -> IO[bytes]:
    """A file to read, unbuffered.

    Raises:
        OSError: It cannot be opened.
    """
    return Bytes(source) if isinstance(source, bytes) else source.open("rb", buffering=0)


def checked_rate(rate: int) -> int:
    """The sample rate of a header.

    Raises:
        DecodeError: No recording has such a rate.
    """
    if not MIN_RATE <= rate <= MAX_RATE:
        raise DecodeError(f"cannot be decoded (its header gives a sample rate of {rate} Hz)")
    return rate


def samples_at_once(channels: int) -> int:
    """How many of each channel a decoder should hold at once."""
    return max(1, BLOCK_VALUES // channels)
