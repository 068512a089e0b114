"""Levels of floating-point recordings, which may exceed full scale.

A recorder with 32-bit floats has no full scale: samples above 1 are as good as others. Some
programs store integers as floats, up to 32,768 or 2^31. So a recording is divided by its peak if
that is above 1. This needs the whole recording: one that is longer than a block is read twice.

A few damaged samples must not turn the rest into silence. Samples that no scale explains are
damaged, and become 0.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from audiotag.audio.helper_process import Warn
from audiotag.audio.sources import Block

CHUNK = 1024  # samples whose peak is taken together, 23 ms at 44.1 kHz
HIGHEST = 2.0**32  # no scale is larger than that of 32-bit integers
FEW = 4  # a sound's peak has at least this many samples around it
ALONE = 10.0  # that are at most this many times lower; else it is damaged
PLAUSIBLE = 128.0  # +42 dB; a higher peak is that of integers, which are also
SUPPORT = 0.1  # above 1 in at least this fraction of the chunks
DAMAGED = "holds damaged samples (not finite, or far above all others), which are heard as silence"


@dataclass(frozen=True)
class Level:
    """The level of a recording.

    Attributes:
        peak: Its highest undamaged sample.
        is_damaged: Whether there are damaged samples.
    """

    peak: float
    is_damaged: bool

    def applied(self, mono: np.ndarray) -> np.ndarray:
        """Samples (T,) scaled to [-1, 1]: divided by a peak above 1; damaged ones become 0."""
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
        blocks: The blocks to scale.
        whole: Reads the whole recording again; None if the blocks are all of it, and few.
        warn: Called if there are damaged samples.
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
        self._above = [np.zeros(1, np.float32)]  # peaks of chunks above 1, without single spikes

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
