"""Audio that is not read from a path: the bytes of a file, or samples in an array."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.audio.helper_process import Warn
from audiotag.audio.levels import levelled
from audiotag.audio.mono import Hearing, Mixer, cut
from audiotag.audio.sources import (
    MAX_RATE,
    MIN_RATE,
    USUAL,
    Block,
    DecodeError,
    Listening,
    ignore,
    samples_at_once,
)

# A path has one slash where a URL has two. One letter before the colon is a drive of Windows.
URL = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]+):/")


@dataclass(frozen=True, eq=False)
class Samples:
    """A recording in an array.

    Attributes:
        rate: Hz.
        channels: (channels, T) int16, or float32 with finite values.
    """

    rate: int
    channels: np.ndarray

    def blocks(
        self,
        start: float,
        duration: float,
        listening: Listening = USUAL,
        warn: Warn = ignore,
    ) -> Iterator[Block]:
        """Blocks, as a decoder's for a WAV file with these samples; `start` is in seconds.

        Raises:
            DecodeError: There is no such track or channel.
        """
        if listening.track not in (None, 1):
            raise DecodeError(f"has no audio track {listening.track}; an array has one")
        hearing = Hearing(listening, warn=warn)
        blocks = cut(self._mixed(hearing), start, duration)
        if self.channels.dtype.kind != "f":
            return blocks
        return levelled(blocks, lambda: self._mixed(hearing), warn)

    def _mixed(self, hearing: Hearing) -> Iterator[Block]:
        count, length = self.channels.shape
        step, mixer = samples_at_once(count), Mixer(hearing)
        parts = (self.channels[:, begin : begin + step] for begin in range(0, length, step))
        return ((self.rate, mixer.mix(list(part))) for part in parts)


@dataclass(frozen=True, eq=False)
class Sound:
    """Audio in memory, with the name that its results have.

    Attributes:
        name: Name in results, where files have their path.
        content: The bytes of an audio file, or samples.
    """

    name: str
    content: bytes | Samples

    def __str__(self) -> str:
        return self.name


Input = Path | Sound


def name_of(audio: Input) -> str:
    """What results and messages call an input. Of a URL, which is no file, a path has lost
    slashes."""
    name = str(audio)
    url = URL.match(name)
    if url is None or isinstance(audio, Sound) or audio.exists():
        return name
    slashes = "///" if url["scheme"].lower() == "file" else "//"
    return f"{url['scheme']}:{slashes}{name[url.end() :]}"


def as_input(audio: Any, sample_rate: float | None = None, channels_last: bool = False) -> Input:
    """The input for the audio that a caller gave.

    Args:
        audio: A path; a binary file object, which is read to its end, or the bytes of a file; or an
            array of samples, int16 or floating point in [-1, 1], (T,) or (channels, T).
        sample_rate: Hz, of an array.
        channels_last: Whether an array is (T, channels).

    Raises:
        TypeError: If it is none of these, an array has another type of values or no sample rate, or
            something else has one.
        ValueError: If an array's shape, values or sample rate are not those of a recording.
    """
    if not hasattr(audio, "__array__"):
        if sample_rate is not None or channels_last:
            raise TypeError("sample_rate and channels_last are for arrays; files say theirs")
        return _file(audio)
    if sample_rate is None:
        raise TypeError("an array does not say its sample rate; add sample_rate=, in Hz")
    return Sound("<array>", Samples(_rate(sample_rate), _channels(audio, channels_last)))


def _file(audio: Any) -> Input:
    if isinstance(audio, str | os.PathLike):
        return Path(os.fsdecode(audio))
    if isinstance(audio, bytes | bytearray | memoryview):
        return Sound("<bytes>", bytes(audio))
    if not hasattr(audio, "read"):
        raise TypeError(
            f"a {type(audio).__name__} is not audio; give a path, a binary file object, the bytes "
            "of a file, or an array with its sample_rate"
        )
    content = audio.read()
    if not isinstance(content, bytes):
        raise TypeError('the file object does not give bytes; open it with mode "rb"')
    name = getattr(audio, "name", None)
    return Sound(name if isinstance(name, str) else "<file>", content)


def _rate(sample_rate: float) -> int:
    if not MIN_RATE <= sample_rate <= MAX_RATE or sample_rate != int(sample_rate):
        raise ValueError(
            f"sample_rate is {sample_rate}; it must be a whole number of Hz from {MIN_RATE} to "
            f"{MAX_RATE}"
        )
    return int(sample_rate)


def _channels(audio: Any, channels_last: bool) -> np.ndarray:
    """Samples (channels, T)."""
    values = np.asarray(audio)
    if values.dtype != np.int16 and values.dtype.kind != "f":
        raise TypeError(
            f"the array holds {values.dtype}; give int16, or floating point scaled to [-1, 1]"
        )
    channels = _channels_first(values, channels_last)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused as infinite
            channels = channels.astype(np.float32, copy=False)
        if not np.isfinite(channels).all():
            raise ValueError("the array holds NaN or infinity; replace them, by 0 for silence")
    return channels


def _channels_first(values: np.ndarray, channels_last: bool) -> np.ndarray:
    if values.ndim not in (1, 2) or (values.ndim == 1 and channels_last):
        wanted = "(T, channels)" if channels_last else "(T,) or (channels, T)"
        raise ValueError(f"the array has shape {values.shape}; give {wanted}")
    if values.size == 0:
        raise ValueError(f"the array holds no samples: its shape is {values.shape}")
    channels = np.atleast_2d(values.T if channels_last else values)
    if len(channels) > channels.shape[1]:
        order = "leave out channels_last=True" if channels_last else "add channels_last=True"
        raise ValueError(
            f"an array of shape {values.shape} has more channels than samples; if it is the other "
            f"way round, {order}"
        )
    return channels
