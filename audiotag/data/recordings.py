"""The recordings that a data set is made from, their audio, and sources that list them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soxr

from audiotag.audio.streams import decode_bytes, read
from audiotag.errors import AudioError
from audiotag.label_set import is_line

MORE = 1.0  # s that a file of a segment may have beyond it: encoders pad, and cut at key frames
LEAST = 0.9  # of a segment: a video may end a little before the list says


class Audio(Protocol):
    """The audio of a recording, which any thread can read."""

    def read(self, sample_rate: int) -> np.ndarray:
        """Mono float32 samples (T,) in [-1, 1] at `sample_rate` Hz.

        Raises:
            AudioError: If it cannot be decoded.
        """


@dataclass(frozen=True)
class FileAudio:
    """A file, or the part of it from `start` to `end` seconds."""

    path: Path
    start: float = 0.0
    end: float | None = None

    def read(self, sample_rate: int) -> np.ndarray:
        """As `Audio.read`."""
        duration = None if self.end is None else self.end - self.start
        return read(self.path, sample_rate, self.start, duration)


@dataclass(frozen=True)
class SegmentAudio:
    """The seconds from `start` to `end` of a video, in a file that is the whole video, or those
    seconds of it: the whole if it is longer than they are."""

    path: Path
    start: float
    end: float

    def read(self, sample_rate: int) -> np.ndarray:
        """As `Audio.read`."""
        duration = self.end - self.start
        head = read(self.path, sample_rate, 0.0, duration + MORE)
        if len(head) < round((duration + MORE) * sample_rate) or self.start == 0:
            return head[: round(duration * sample_rate)]
        found = self._of_video(sample_rate, duration)
        if len(found) < LEAST * duration * sample_rate:
            raise AudioError(
                f"{self.path}: longer than the {duration:g} s of its segment, and too short to be "
                f"the video, of which {self.start:g} to {self.end:g} s are wanted"
            )
        return found

    def _of_video(self, sample_rate: int, duration: float) -> np.ndarray:
        try:
            return read(self.path, sample_rate, self.start, duration)
        except AudioError:  # it ends before
            return np.empty(0, np.float32)


@dataclass(frozen=True)
class BytesAudio:
    """A file's bytes, from an archive."""

    data: bytes

    def read(self, sample_rate: int) -> np.ndarray:
        """As `Audio.read`."""
        return decode_bytes(self.data, sample_rate)


@dataclass(frozen=True)
class SamplesAudio:
    """Samples (T,), float32 in [-1, 1], at a rate in Hz."""

    samples: np.ndarray
    rate: int

    def read(self, sample_rate: int) -> np.ndarray:
        """As `Audio.read`."""
        if sample_rate == self.rate:
            return self.samples
        return soxr.resample(self.samples, self.rate, sample_rate, quality="HQ")


@dataclass(frozen=True)
class Recording:
    """A recording, its labels, and where it belongs.

    Attributes:
        name: Its name in messages: a path, or a position in an archive.
        audio: Its audio.
        labels: Label names.
        split: "train", "valid", ...; if None, a hash of `group` chooses.
        fold: Fold of a cross-validation, if it has one.
        group: Recordings of one group are always in the same split; if None, its name.
        key: The clip's unique key, if the recording is one clip. If None, it is cut into clips, and
            their keys are made of its position and its name.
        start: Second of the source at which it begins.
    """

    name: str
    audio: Audio
    labels: tuple[str, ...] = ()
    split: str | None = None
    fold: int | None = None
    group: str | None = None
    key: str | None = None
    start: float = 0.0


DOUBTFUL = "doubtful"  # of a recording that was decoded with a warning


@dataclass(frozen=True)
class Failure:
    """A recording, or a clip of it, that was left out, and why; or that was kept, and is doubtful.

    Attributes:
        source: What messages call it.
        reason: A sentence for a reader.
        kind: A word to count by: "unreadable", "missing", "empty", "silent", "duplicate", ...;
            `DOUBTFUL` where the clips are kept.
    """

    source: str
    reason: str
    kind: str = "unreadable"


@dataclass(frozen=True)
class DoubledClip(Failure):
    """A clip that was left out because the data set already has its samples.

    Attributes:
        labels: Its labels.
        sha256: Hash of its encoded samples, in hexadecimal.
    """

    labels: tuple[str, ...] = ()
    sha256: str | None = None


def printable(text: str) -> str:
    """The text in one line: bytes of a file name that are not UTF-8, and control characters, become
    backslash escapes."""
    text = text.encode(errors="backslashreplace").decode()
    return text if is_line(text) else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if is_line(character) else ascii(character)[1:-1]


class Source(Protocol):
    """Recordings in a fixed order.

    Attributes:
        labels: The label set in order; None if it is the labels that the recordings have.
        fingerprint: Differs where the recordings, their order, or what is known about them differ.
        notes: Lines for a reader: which splits were found, and what was passed over or assumed.
    """

    labels: tuple[str, ...] | None
    fingerprint: str

    @property
    def notes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int:
        """Number of recordings, those that will fail included."""

    def files(self, last: int) -> Iterator[Path]:
        """The files that the recordings before position `last` are read from; they need not be
        there."""

    def recordings(self, first: int, last: int) -> Iterator[Recording | Failure]:
        """Recordings from position `first` to before `last`, without reading earlier ones."""
