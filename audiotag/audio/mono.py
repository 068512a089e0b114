"""From channels to one: mixed, scaled to [-1, 1), and cut to a span of time."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from audiotag.audio.sources import Block


def scaled_mean(channels: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of channels (T,) as float32, integers scaled to [-1, 1)."""
    total = np.empty(len(channels[0]), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # damaged files hold any floats
        add_up(channels, total)
    return scaled(total, channels[0].dtype, len(channels))


def add_up(channels: Iterable[np.ndarray], total: np.ndarray) -> None:
    """Put the sum of channels (T,) into (T,) float32."""
    # Channel by channel: for stereo 6 times as fast as einsum, 20 times as sum(axis=1).
    for i, channel in enumerate(channels):
        if i == 0:
            total[:] = channel
        else:
            total += channel


def scaled(total: np.ndarray, dtype: np.dtype, channels: int) -> np.ndarray:
    """The mean, in place, where (T,) is the sum; that of integers scaled to [-1, 1)."""
    if dtype == np.uint8:
        total -= np.float32(128 * channels)
    divisor = channels if dtype.kind == "f" else channels * 2 ** (8 * dtype.itemsize - 1)
    if divisor > 1:
        total /= np.float32(divisor)
    return total


def cut(blocks: Iterator[Block], skip: float, duration: float) -> Iterator[Block]:
    """Drop the first `skip` seconds, keep `duration` seconds."""
    for rate, mono in blocks:
        begin = max(0, min(len(mono), round(skip * rate)))
        end = begin + round(min(len(mono) - begin, duration * rate))
        skip -= begin / rate
        duration -= (end - begin) / rate
        if end > begin:
            yield rate, mono[begin:end]
        if duration * rate < 0.5:
            return
