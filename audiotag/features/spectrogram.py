"""Spectrograms for the eye, of recordings of any length, made block by block in bounded memory.

They are mel spectrograms in few levels of loudness. A long recording's columns are joined in pairs
each time that there are too many, the louder of two, so that a short call does not vanish.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from audiotag.features.mel_bank import mel_triangles
from audiotag.features.mel_power import MelPower

BANDS = 64
LOWEST = 40.0  # Hz
FRAME, STEP = 0.032, 0.04  # seconds of a frame at least, and from one to the next
MAX_COLUMNS = 2**14  # of a picture: 11 minutes in steps of 40 ms, 80 minutes in steps of 0.3 s
FRAMES_AT_ONCE = 250  # 10 s
COLUMNS_AT_ONCE = 2**10  # turned into levels, so that little memory is needed
LEVELS = 16
RANGE = 65.0  # dB from the lowest level to the highest
LOUD = 0.99  # quantile of the columns' loudest values that has the highest level
FAINTEST = -90.0  # dB of the highest level at least: what is fainter stays dark
BITS_OF_DECIBEL = 2**23 * math.log2(10) / 10  # how much the bits of a float grow by


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """A mel spectrogram in few levels.

    Attributes:
        levels: Loudness (bands, columns) uint8, 0 to `LEVELS - 1`; the first band is the lowest.
        step: Seconds from one column to the next; the first begins at 0.
        highest: Hz of the upper end of the last band; the first begins at `LOWEST`.
    """

    levels: np.ndarray
    step: float
    highest: float


class SpectrogramMaker:
    """Makes the spectrogram of a stream of samples.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate, self._hop = sample_rate, round(STEP * sample_rate)
        self._power = _mel_power(sample_rate)
        self._held = np.empty(FRAMES_AT_ONCE * self._hop, np.float32)  # samples
        self._samples = 0  # of them
        self._frames = np.zeros((BANDS, 0), np.float32)  # that do not fill a column yet
        self._columns = np.empty((BANDS, MAX_COLUMNS), np.float32)  # power
        self._count = 0  # of columns
        self._joined = 1  # frames in a column

    def add(self, samples: np.ndarray) -> None:
        """Take the next samples (T,)."""
        while len(samples):
            taken = samples[: len(self._held) - self._samples]
            self._held[self._samples : self._samples + len(taken)] = taken
            self._samples += len(taken)
            samples = samples[len(taken) :]
            if self._samples == len(self._held):
                self._add_frames(self._held)
                self._samples = 0

    def result(self) -> Spectrogram:
        """The spectrogram of all samples; no more can be added."""
        if self._samples:
            self._add_frames(self._held[: self._samples])
        if self._frames.shape[1]:
            self._put(self._frames.max(axis=1, keepdims=True))
        power = self._columns[:, : self._count]
        return Spectrogram(_levels(power), self._hop * self._joined / self._rate, self._rate / 2)

    def _add_frames(self, samples: np.ndarray) -> None:
        """Add the frames of samples that are cut out of the recording: both ends are mirrored."""
        count = -(-len(samples) // self._hop)
        missing = 2 * frame_size(self._rate) - len(samples)
        padded = np.pad(samples, (0, missing)) if missing > 0 else samples
        power = self._power(padded[None])[0, :, :count]
        self._frames = np.concatenate([self._frames, power], axis=1)
        while True:
            whole = min(self._frames.shape[1] // self._joined, MAX_COLUMNS - self._count)
            taken = whole * self._joined
            self._put(_louder(self._frames[:, :taken], self._joined))
            self._frames = self._frames[:, taken:]
            if self._count < MAX_COLUMNS:
                return
            self._halve()

    def _put(self, columns: np.ndarray) -> None:
        end = self._count + columns.shape[1]
        self._columns[:, self._count : end] = columns
        self._count = end

    def _halve(self) -> None:
        """Make room: join all columns in pairs."""
        self._count = MAX_COLUMNS // 2
        self._columns[:, : self._count] = _louder(self._columns, 2)
        self._joined *= 2


def frame_size(sample_rate: int) -> int:
    """Samples of a frame, a power of two."""
    return 2 ** math.ceil(math.log2(FRAME * sample_rate))


def spectrogram_of(blocks: Iterable[np.ndarray], sample_rate: int) -> Spectrogram:
    """The spectrogram of a stream of samples, each (T,)."""
    maker = SpectrogramMaker(sample_rate)
    for block in blocks:
        maker.add(block)
    return maker.result()


@lru_cache(4)
def _mel_power(sample_rate: int) -> MelPower:
    size = frame_size(sample_rate)
    bands = mel_triangles(size, sample_rate, BANDS, LOWEST, sample_rate / 2)
    bands /= np.minimum(bands.sum(axis=0), 1.0)  # the lowest are narrower than a bin
    window = np.hanning(size + 1)[:-1]
    return MelPower(window / window.sum(), round(STEP * sample_rate), bands)


def _louder(power: np.ndarray, count: int) -> np.ndarray:
    """The highest of each `count` columns, a power of two: pair by pair, as NumPy is slow at the
    maximum of a few values that lie together."""
    while count > 1:
        power = np.maximum(power[:, ::2], power[:, 1::2])
        count //= 2
    return power


def _levels(power: np.ndarray) -> np.ndarray:
    """Levels of power (bands, columns) float32.

    The bits of a float, read as an integer, are its logarithm to 0.26 dB, in a tenth of the time
    that a logarithm takes; a level is 4 dB.
    """
    if not power.size:
        return np.zeros(power.shape, np.uint8)
    loudest = np.sort(power.max(axis=0))  # of each column
    loud = loudest[round(LOUD * (len(loudest) - 1))]
    highest = max(_log_bits(loud), _log_bits(np.float32(10 ** (FAINTEST / 10))))
    lowest = np.float32(highest - RANGE * BITS_OF_DECIBEL)
    growth = np.float32((LEVELS - 1) / (RANGE * BITS_OF_DECIBEL))
    levels = np.empty(power.shape, np.uint8)
    for begin in range(0, power.shape[1], COLUMNS_AT_ONCE):
        part = slice(begin, begin + COLUMNS_AT_ONCE)
        scaled = (power[:, part].view(np.int32) - lowest) * growth
        levels[:, part] = scaled.clip(0, LEVELS - 1, out=scaled) + np.float32(0.5)
    return levels


def _log_bits(value: np.float32) -> float:
    return float(np.float32(value).view(np.int32))
