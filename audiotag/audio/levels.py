"""Levels of floating-point recordings, which may go beyond full scale.

A recorder with 32-bit floats has no full scale: sounds above 1 are as good as those below. Some
programs store integers as floats, up to 32,768 or 2^31. So a recording is divided by its peak where
that is above 1. That takes the whole recording: one that is longer than a block is read twice.

A few damaged samples must not turn the rest into silence. What no scale explains is damage, and
becomes silence itself.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from audiotag.audio.helper_process import Warn
from audiotag.audio.sources import Block

CHUNK = 1024  # samples that are looked at together, 23 ms of a CD's sound
HIGHEST = 2.0**32  # no scale goes beyond that of 32-bit integers
FEW = 4  # samples at least that a sound's peak has around it, each
ALONE = 10.0  # times lower at most; a higher sample is damaged
PLAUSIBLE = 128.0  # +42 dB; a higher peak is that of integers, and those in quiet parts are
SUPPORT = 0.1  # above 1 in so many of the chunks at least
DAMAGED = "holds damaged samples (not finite, or far above all others), which are heard as silence"


@dataclass(frozen=True)
class Level:
    """The level of a recording.

    Attributes:
        peak: Its highest sample that is sound.
        is_damaged: Whether there are samples that are none.
    """

    peak: float
    is_damaged: bool

    def applied(self, mono: np.ndarray) -> np.ndarray:
        """Samples (T,) within [-1, 1]: divided by a peak above 1, and 0 where damaged."""
        if self.peak <= 1 and not self.is_damaged:
            return mono
        peak = np.float32(max(1.0, self.peak))
        with np.errstate(all="ignore"):
            return np.where(np.abs(mono) <= peak, mono / peak, np.float32(0.0))


def levelled(
    blocks: Iterator[Block], whole: Callable[[], Iterator[Block]] | None, warn: Warn
) -> Iterator[Block]:
    """Blocks of a floating-point recording at its level.

    Args:
        blocks: What is scaled.
        whole: Reads the whole recording anew; None if the blocks are all of it, and few.
        warn: Told of damaged samples.
    """
    if whole is None:
        held = list(blocks)
        blocks, measured = iter(held), iter(held)
    else:
        measured = whole()
    level = level_of(mono for _, mono in measured)
    if level.is_damaged:
        warn(DAMAGED)
    for rate, mono in blocks:
        yield rate, level.applied(mono)


def level_of(blocks: Iterable[np.ndarray]) -> Level:
    """The level of consecutive samples, each (T,)."""
    peaks = _Peaks()
    with np.errstate(all="ignore"):  # damaged files hold any floats
        for mono in blocks:
            peaks.add(mono)
    return peaks.level()


class _Peaks:
    """The highest samples of a recording, chunk by chunk."""

    def __init__(self) -> None:
        self._count = 0  # chunks so far
        self._highest = 0.0  # of all samples
        self._above = [np.zeros(1, np.float32)]  # what is highest in chunks beyond 1, spikes aside

    def add(self, mono: np.ndarray) -> None:
        """Add samples (T,)."""
        self._count += -(-len(mono) // CHUNK)
        low, high = float(mono.min()), float(mono.max())
        if low >= -1 and high <= 1:  # nor is one of them NaN
            self._highest = max(self._highest, high, -low)
            return
        size = np.abs(np.pad(mono, (0, -len(mono) % CHUNK))).reshape(-1, CHUNK)
        is_sound = size <= HIGHEST
        self._highest = max(self._highest, float(size.max()) if is_sound.all() else np.inf)
        few = np.partition(np.where(is_sound, size, 0.0), CHUNK - FEW, axis=1)[:, -FEW:]
        highest, lowest = few.max(axis=1), few.min(axis=1)
        self._above.append(np.where(highest > ALONE * lowest, lowest, highest))

    def level(self) -> Level:
        """The level of all samples."""
        peaks = np.concatenate(self._above)
        is_integer = np.count_nonzero(peaks > 1) >= SUPPORT * self._count
        peak = float(peaks[peaks <= (HIGHEST if is_integer else PLAUSIBLE)].max())
        return Level(peak, self._highest > max(1.0, peak))
