"""Cutting recordings into encoded clips, or failures with the reason."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from unicodedata import normalize

import numpy as np

from audiotag.audio.decoders import EMPTY_FILE
from audiotag.audio.helper_process import Warn
from audiotag.audio.in_memory import Sound
from audiotag.audio.sources import NO_SAMPLES
from audiotag.audio.streams import IN_MEMORY, stream
from audiotag.data.encoding import FLAC, encode
from audiotag.data.recordings import (
    DOUBTFUL,
    Audio,
    BytesAudio,
    Failure,
    FileAudio,
    Recording,
    SegmentAudio,
    printable,
)
from audiotag.data.shards import ClipInfo, EncodedClip
from audiotag.errors import AudioError

SILENCE_PEAK = 1e-3  # of full scale, -60 dB
SHORTEST_REST = 0.05  # of a clip's length: a shorter end of a recording is left out
VALID_PERCENT = 20  # of the groups of recordings without a split, by default
MAX_KEY_BYTES = 90  # a longer name needs an extended tar header, which would move the data
STEM_BYTES = 60  # of a recording's name in its clips' keys
NOT_IN_KEYS = re.compile(r"[^\w-]+")  # WebDataset ends a key at its first dot


@dataclass(frozen=True)
class Cutter:
    """Cuts, checks and encodes clips.

    Attributes:
        sample_rate: Hz.
        seconds: Largest length of a clip.
        keep_silence: Whether silent clips are kept.
        encoding: Encoding of the clips, one of `encoding.ENCODINGS`.
        valid_percent: Share of the groups of recordings without a split that is for validation.
    """

    sample_rate: int
    seconds: float
    keep_silence: bool = False
    encoding: str = FLAC
    valid_percent: int = VALID_PERCENT

    def clips(self, number: int, recording: Recording) -> Iterator[EncodedClip | Failure]:
        """The clips of the recording at position `number`, and failures for parts left out."""
        recording = _printable(recording)
        warnings: list[str] = []
        pieces = self._pieces(recording.audio, warnings.append)
        if recording.key is not None:
            pieces = islice(pieces, 1)
        first = 0
        try:
            for piece, samples in enumerate(pieces):
                yield self._clip(_key(number, piece, recording), first, samples, recording)
                first += len(samples)
        except AudioError as error:
            yield _failure(recording, error)
        else:
            if not first:
                yield Failure(recording.name, NO_SAMPLES, "empty")
        yield from (Failure(recording.name, warning, DOUBTFUL) for warning in warnings)

    def _pieces(self, audio: Audio, warn: Warn) -> Iterator[np.ndarray]:
        """Consecutive samples (T,), all but the last of a clip's whole length."""
        size = max(1, round(self.seconds * self.sample_rate))
        held = np.empty(0, np.float32)
        for block in self._blocks(audio, warn):
            held = np.concatenate([held, block])
            while len(held) >= size:
                yield held[:size]
                held = held[size:]
        if len(held):
            yield held

    def _blocks(self, audio: Audio, warn: Warn) -> Iterator[np.ndarray]:
        if isinstance(audio, BytesAudio):
            return stream(Sound(IN_MEMORY, audio.data), self.sample_rate, warn=warn)
        if not isinstance(audio, FileAudio):
            return iter((audio.read(self.sample_rate),))
        duration = None if audio.end is None else audio.end - audio.start
        return stream(audio.path, self.sample_rate, audio.start, duration, warn=warn)

    def _clip(
        self, key: str, first: int, samples: np.ndarray, recording: Recording
    ) -> EncodedClip | Failure:
        start = recording.start + first / self.sample_rate
        duration = len(samples) / self.sample_rate
        peak = float(np.abs(samples).max())
        if not np.isfinite(peak):
            return Failure(recording.name, f"holds NaN or infinite samples from {start:g} s on")
        if peak < SILENCE_PEAK and not self.keep_silence:
            return Failure(recording.name, f"silent from {start:g} s on", "silent")
        if first and duration < SHORTEST_REST * self.seconds:
            reason = f"its last {duration:.3f} s, from {start:g} s on, are too short for a clip"
            return Failure(recording.name, reason, "too short")
        data = encode(samples, self.sample_rate, self.encoding)
        info = ClipInfo(
            key=key,
            labels=recording.labels,
            split=recording.split
            or hash_split(recording.group or recording.name, self.valid_percent),
            fold=recording.fold,
            group=recording.group,
            source=recording.name,
            start=start,
            end=start + duration,
        )
        digest = hashlib.sha256(data).hexdigest()
        return EncodedClip(info, data, self.encoding, digest, duration)


def hash_split(group: str, valid_percent: int = VALID_PERCENT) -> str:
    """ "valid" for this share of the groups, else "train", the same on every machine."""
    digest = hashlib.sha256(group.encode(errors="surrogateescape")).digest()
    return "valid" if int.from_bytes(digest[:4], "big") % 100 < valid_percent else "train"


def clean_key(key: str) -> str:
    """The key as a safe file name; if it had to be changed, a hash keeps it unique."""
    clean = _cut_bytes(NOT_IN_KEYS.sub("_", key), MAX_KEY_BYTES)
    if key and clean == key:
        return key
    digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:12]
    return f"{_cut_bytes(clean, STEM_BYTES)}_{digest}"


def _printable(recording: Recording) -> Recording:
    """The recording, its name, labels, split and group as `printable` text. Labels are in composed
    form (NFC): macOS writes file names decomposed, and the same word would be two classes."""
    labels = tuple(normalize("NFC", printable(label)) for label in recording.labels)
    split = None if recording.split is None else printable(recording.split)
    group = None if recording.group is None else printable(recording.group)
    name = printable(recording.name)
    return replace(recording, name=name, labels=labels, split=split, group=group)


def _key(number: int, piece: int, recording: Recording) -> str:
    if recording.key is not None:
        return clean_key(recording.key)
    name = re.split(r"[/\\]", recording.name)[-1].rpartition(".")
    stem = NOT_IN_KEYS.sub("_", name[0] or name[2])
    return f"{number:08d}_{piece:04d}_{_cut_bytes(stem, STEM_BYTES)}"


def _cut_bytes(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def _failure(recording: Recording, error: AudioError) -> Failure:
    """The failure of a recording that could not be decoded; its reason does not repeat the name."""
    audio = recording.audio
    name = audio.path if isinstance(audio, FileAudio | SegmentAudio) else IN_MEMORY
    return Failure(recording.name, str(error).removeprefix(f"{name}: "), _kind(audio, str(error)))


def _kind(audio: Audio, reason: str) -> str:
    if isinstance(audio, FileAudio | SegmentAudio) and not os.path.exists(audio.path):
        return "missing"
    return "empty" if NO_SAMPLES in reason or EMPTY_FILE in reason else "unreadable"
