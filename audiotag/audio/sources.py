"""The input of decoders, a file or its bytes, and their output: blocks of mono samples."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

BLOCK_VALUES = 2**20  # samples times channels held at once by a decoder
NO_SAMPLES = "holds no audio samples"
MIN_RATE, MAX_RATE = 100, 10_000_000  # Hz; beyond these a header is damaged, not unusual
Source = Path | bytes  # of a file, or all that is in it
BUFFER = 2**18  # bytes read at once from `Pieces`
Block = tuple[int, np.ndarray]  # sample rate in Hz, mono float32 samples (T,)


@dataclass(frozen=True)
class Span:
    """Bytes of a file, from `begin` to before `end`."""

    begin: int
    end: int


@dataclass(frozen=True)
class Pieces:
    """A repaired file: new bytes, and spans of the existing file.

    Attributes:
        whole: The existing file.
        parts: New bytes and spans, in order.
    """

    whole: Source
    parts: tuple[bytes | Span, ...]


Readable = Source | Pieces


@dataclass(frozen=True)
class Listening:
    """The track and channel of a recording that are heard; numbers begin at 1.

    Attributes:
        track: Audio track; if None, the one that players play.
        channel: Channel of the track; if None, the mean of all.
    """

    track: int | None = None
    channel: int | None = None

    def __post_init__(self) -> None:
        for name in ("track", "channel"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; the first is 1")


USUAL = Listening()


def ignore(message: str) -> None:
    """Ignore a warning."""


class DecodeError(Exception):
    """A decoder found nothing (more) to decode; the message is the reason, without the name."""


class CutShortError(DecodeError):
    """A file ended before its header says.

    Args:
        missing: Seconds that were to come.
    """

    def __init__(self, missing: float) -> None:
        super().__init__("cannot be decoded (it ends before its header says)")
        self.missing = missing


class Bytes(io.BytesIO):
    """A file in memory; a seek to before its beginning, as in damaged headers, is ignored.

    soundfile calls `seek` from C, where an exception is printed instead of raised.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


class _Joined(io.RawIOBase):
    """The bytes of `Pieces`, one after another.

    Args:
        pieces: What to read.
        file: The file that their spans lie in; closed with this one.
    """

    def __init__(self, pieces: Pieces, file: IO[bytes]) -> None:
        self._file, self._parts = file, pieces.parts
        sizes = [len(p) if isinstance(p, bytes) else p.end - p.begin for p in pieces.parts]
        self._ends = np.cumsum([0, *sizes]).tolist()
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        begin = (0, self._at, self._ends[-1])[whence]
        self._at = max(0, begin + offset)  # damaged headers may lead before the beginning
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        for part, begin, end in zip(self._parts, self._ends, self._ends[1:], strict=False):
            if begin <= self._at < end:
                size = min(len(buffer), end - self._at)
                data = self._bytes(part, self._at - begin, size)
                buffer[: len(data)] = data
                self._at += len(data)
                return len(data)
        return 0

    def close(self) -> None:
        self._file.close()
        super().close()

    def _bytes(self, part: bytes | Span, begin: int, size: int) -> bytes:
        if isinstance(part, bytes):
            return part[begin : begin + size]
        self._file.seek(part.begin + begin)
        return self._file.read(size)


def open_source(source: Readable) -> IO[bytes]:
    """Open a source for reading; a file is unbuffered.

    Raises:
        OSError: It cannot be opened.
    """
    if isinstance(source, Pieces):
        return io.BufferedReader(_Joined(source, open_source(source.whole)), BUFFER)
    return Bytes(source) if isinstance(source, bytes) else source.open("rb", buffering=0)


def size_of(file: IO[bytes]) -> int:
    """Bytes of an open file, which is then at its end."""
    return file.seek(0, io.SEEK_END)


def read_at(file: IO[bytes], place: int, size: int) -> bytes:
    """`size` bytes from a position, fewer at the end of the file."""
    file.seek(place)
    return file.read(size)


def checked_rate(rate: int) -> int:
    """The sample rate of a header.

    Raises:
        DecodeError: No recording has such a rate.
    """
    if not MIN_RATE <= rate <= MAX_RATE:
        raise DecodeError(f"cannot be decoded (its header gives a sample rate of {rate} Hz)")
    return rate


def samples_at_once(channels: int) -> int:
    """How many samples of each channel a decoder should hold at once."""
    return max(1, BLOCK_VALUES // channels)
