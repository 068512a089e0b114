"""Windows: a stream of samples cut into pieces of equal length."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

WINDOW = 10.0  # seconds, unless something else is asked for
MAX_SECONDS = 1_000_000  # of a window or hop, 12 days: more than a recording has


@dataclass(frozen=True)
class Window:
    """A piece of a recording.

    Attributes:
        start: its beginning in the recording, in seconds.
        end: its end in the recording, in seconds.
        samples: (T,) mono float32; longer than `end - start` if it was padded with silence.
    """

    start: float
    end: float
    samples: np.ndarray


def windows(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    length: float = WINDOW,
    hop: float | None = None,
    minimum: float = 2.0,
) -> Iterator[Window]:
    """Cut a stream into windows that start at 0, hop, 2 hop and so on.

    The last window is moved back to end with the recording, so that every window has full
    length and none is padded. A recording shorter than `length` is one window of its own length.
    Samples shorter than `minimum` are padded with silence. They are not repeated, as many short
    sounds would then become other sounds: a knock becomes a machine.

    Args:
        blocks: consecutive samples, each (T,), as from `stream`.
        sample_rate: their rate, in Hz.
        length: of a window, in seconds.
        hop: from one start to the next, in seconds; `length` if None; a longer hop leaves gaps.
        minimum: shortest duration of a window's samples, in seconds.

    Raises:
        ValueError: `length` or `hop` is shorter than a sample.
    """
    size = round(length * sample_rate)
    step = size if hop is None else round(hop * sample_rate)
    if size < 1 or step < 1:
        raise ValueError(f"window length {length} s and hop {hop} s must be at least one sample")
    spans = _spans(blocks, size, step)
    return (_window(begin, part, sample_rate, minimum) for begin, part in spans)


def surrounded_windows(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    length: float,
    hop: float,
    minimum: float = 2.0,
) -> Iterator[Window]:
    """Cut a stream into windows of which the first starts at `hop - length` and the last within the
    recording, which has silence before and after it.

    Each piece of the recording is in as many windows as any other. A window's `start` and `end` are
    those of the part of the recording that is in it. Arguments as of `windows`.

    Raises:
        ValueError: `hop` is shorter than a sample, or longer than `length`.
    """
    size, step = round(length * sample_rate), round(hop * sample_rate)
    if not 1 <= step <= size:
        raise ValueError(f"a hop of {hop} s must be at least one sample, and a window at most")
    count = 0

    def surrounded() -> Iterator[np.ndarray]:
        nonlocal count
        before = size - step
        for block in blocks:
            if count == 0:
                yield np.zeros(before, np.float32)
            count += len(block)
            yield block
        if count:
            last = (before + count - 1) // step * step  # start of the last window
            yield np.zeros(last + size - before - count, np.float32)

    for begin, part in _spans(surrounded(), size, step):
        start = begin - (size - step)
        samples = followed_by_silence(part, round(minimum * sample_rate))
        end = min(start + size, count)  # what has not been read yet is beyond the window
        yield Window(max(start, 0) / sample_rate, end / sample_rate, samples)


def followed_by_silence(samples: np.ndarray, size: int) -> np.ndarray:
    """Samples (T,), padded at the end with zeros to at least `size`."""
    missing = size - len(samples)
    return np.pad(samples, (0, missing)) if missing > 0 else samples


def _spans(blocks: Iterable[np.ndarray], size: int, step: int) -> Iterator[tuple[int, np.ndarray]]:
    """Index of the first sample and the samples of each window, the last one moved back."""
    held, offset = np.empty(0, np.float32), 0  # samples held, and the index of the first
    due, end = 0, 0  # start of the next window, end of the last
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        while due + size <= offset + len(held):
            part = held[due - offset :][:size]
            yield due, part if 2 * size > len(held) else part.copy()  # else the rest stays too
            due, end = due + step, due + size
        # The last `size` samples stay, for the window that is moved back.
        drop = max(0, min(due - offset, len(held) - size))
        held, offset = held[drop:], offset + drop
    total = offset + len(held)
    if due < total and end < total:
        yield max(0, total - size), held[-size:]


def _window(begin: int, samples: np.ndarray, sample_rate: int, minimum: float) -> Window:
    end = begin + len(samples)
    samples = followed_by_silence(samples, round(minimum * sample_rate))
    return Window(begin / sample_rate, end / sample_rate, samples)
