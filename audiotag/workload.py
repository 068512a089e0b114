"""Workload: whether there is so much to hear that a slow start is soon made up for."""

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

LONG_WORK = 20_000.0  # seconds of audio. Measured on 2 cores, for the embedded model: torch starts
# 3 s later than onnxruntime, and then takes 15 instead of 19 ms for 10 s of audio.
# Bytes a second of the largest usual files; smaller ones last longer than they are taken to.
PLAIN_RATE, PACKED_RATE = 192_000, 40_000  # 48 kHz, stereo, 16 bits; 320 kbit/s
PLAIN_SUFFIXES = (".wav", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64")


def is_long(files: Iterable[Path], overlap: float = 1.0) -> tuple[bool, Iterator[Path]]:
    """Whether files surely make long work, and the same files again.

    As many are looked at as it takes to know, none of them opened.

    Args:
        files: What is to be heard.
        overlap: How many times each second is heard.

    Returns:
        Whether it is `LONG_WORK` or more, and an iterator over all of `files`.
    """
    rest, seen, seconds = iter(files), [], 0.0
    for file in rest:
        seen.append(file)
        seconds += overlap * least_seconds(file)
        if seconds >= LONG_WORK:
            break
    return seconds >= LONG_WORK, chain(seen, rest)


def least_seconds(file: Path) -> float:
    """How long a file lasts at least, going by its size; 0 if it cannot be read."""
    try:
        size = os.path.getsize(file)
    except OSError:
        return 0.0
    return size / (PLAIN_RATE if file.suffix.lower() in PLAIN_SUFFIXES else PACKED_RATE)
