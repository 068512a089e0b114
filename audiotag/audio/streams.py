"""Streams: any recording as mono float32 at the sample rate of a model.

`stream` reads a file of any length in bounded memory, and `windows` cuts the stream into windows.
`read` and `decode_bytes` return a short recording as one array.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from audiotag.audio.helper_process import Blocks, Warn
from audiotag.audio.in_memory import URL, Sound
from audiotag.audio.sources import (
    NO_SAMPLES,
    USUAL,
    Block,
    DecodeError,
    Listening,
    Source,
    ignore,
)
from audiotag.errors import AudioError

IN_MEMORY = "audio data"  # what messages call the bytes of a file
PIECE = 10.0  # s resampled into one array
CHUNK = 2**15  # samples resampled at once: few enough for the CPU's caches, which is faster


def stream(
    path: str | Path | Sound,
    sample_rate: int,
    start: float = 0.0,
    duration: float | None = None,
    listening: Listening = USUAL,
    warn: Warn = ignore,
) -> Blocks:
    """Read a recording block by block, in memory that does not grow with its length.

    Of a damaged recording, everything that can be decoded is returned. Samples that are not finite,
    as in damaged float files, become silence.

    Args:
        path: an audio or video file, or audio in memory.
        sample_rate: rate of the result, in Hz.
        start: time to start at, in seconds.
        duration: seconds to read, everything if None; a shorter recording ends earlier.
        listening: the track and channel to hear.
        warn: called with what is doubtful, a sentence without the file's name each.

    Yields:
        Mono float32 blocks in [-1, 1], of shape (T,) with T > 0; at least one.

    Returns:
        The recording's own rate, in Hz.

    Raises:
        AudioError: the file cannot be opened or nothing of it decoded; names file and reason.
        ValueError: `start` is negative or `duration` is not positive.
    """
    from audiotag.audio.helpers import in_helper  # helpers do not need it

    if start < 0 or (duration is not None and duration <= 0):
        raise ValueError(f"start {start} s must not be negative, duration {duration} s positive")
    limit = np.inf if duration is None else duration
    if not isinstance(path, Sound):
        name, source = str(path), Path(path).absolute()
        arguments: tuple = (source, name, sample_rate, start, limit, listening)
        return (yield from in_helper(name, decoded, arguments, warn))
    elif isinstance(path.content, bytes):
        arguments = (path.content, path.name, sample_rate, start, limit, listening)
        return (yield from in_helper(path.name, decoded, arguments, warn))
    else:
        blocks = path.content.blocks(start, limit, listening, warn)
        return (yield from _heard(blocks, path.name, sample_rate, start))


def read(
    path: str | Path, sample_rate: int, start: float = 0.0, duration: float | None = None
) -> np.ndarray:
    """Read a recording, or a part of it, into memory; arguments and errors as for `stream`.

    Returns:
        Mono float32 in [-1, 1], of shape (T,).
    """
    return np.concatenate(list(stream(path, sample_rate, start, duration)))


def decode_bytes(data: bytes, sample_rate: int) -> np.ndarray:
    """Decode a file that is in memory, for instance from an archive.

    Returns:
        Mono float32 in [-1, 1], of shape (T,).

    Raises:
        AudioError: nothing of it can be decoded.
    """
    return np.concatenate(list(stream(Sound(IN_MEMORY, data), sample_rate)))


def decoded(
    source: Source,
    name: str,
    sample_rate: int,
    start: float,
    duration: float,
    listening: Listening,
    warn: Warn,
) -> Blocks:
    """Decode and resample in this process; `stream` calls it in a helper.

    Raises:
        AudioError: as `stream`.
    """
    from audiotag.audio.decoders import decode  # here only, so that other processes start sooner

    try:
        if isinstance(source, Path):
            _check_file(source, name)
        blocks = decode(source, start, duration, listening, warn)
        return (yield from _heard(blocks, name, sample_rate, start))
    except OSError as error:
        raise AudioError(f"{name}: cannot be opened ({error.strerror})") from error


def _check_file(path: Path, name: str) -> None:
    if path.exists():
        if path.is_fifo():
            raise AudioError(
                f"{name}: is not a file but a pipe; give - and redirect it to standard input"
            )
        if not path.is_file():
            raise AudioError(f"{name}: is not a file")
        return
    url = URL.match(name)
    if url is not None:
        is_local = url["scheme"].lower() == "file"
        remedy = "give its path alone" if is_local else "download it first, then give the file"
        raise AudioError(f"{name}: is a URL, and only files are read: {remedy}")


def _heard(blocks: Iterable[Block], name: str, sample_rate: int, start: float) -> Blocks:
    """Blocks at the sample rate, at least one; returns the rate that they had.

    Raises:
        AudioError: There are no blocks, or the decoder failed.
    """
    try:
        rate = yield from resampled(blocks, sample_rate)
        if rate is None:
            raise DecodeError(f"{NO_SAMPLES} at {sample_rate} Hz: it is too short")
        return rate
    except DecodeError as error:
        raise AudioError(f"{name}: {error}{f' from {start} s on' if start else ''}") from error


def resampled(blocks: Iterable[Block], sample_rate: int) -> Blocks:
    """Blocks at the sample rate; returns the lowest rate that they had, None without blocks. The
    recording as a whole has no frequencies above half of that."""
    lowest: int | None = None
    for rate, group in groupby(blocks, key=itemgetter(0)):
        for samples in _at_rate(_pieces(group), rate, sample_rate):
            lowest = rate if lowest is None else min(rate, lowest)
            yield samples
    return lowest


def _pieces(blocks: Iterable[Block]) -> Iterator[np.ndarray]:
    """Blocks of one rate as bounded samples in pieces of at most `PIECE` seconds."""
    for rate, mono in blocks:
        step = round(PIECE * rate)
        for begin in range(0, len(mono), step):
            yield _bounded(mono[begin : begin + step])


def _at_rate(pieces: Iterable[np.ndarray], rate: int, sample_rate: int) -> Iterator[np.ndarray]:
    if rate == sample_rate:
        yield from pieces
        return
    import soxr

    resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
    for piece, is_last in _with_last(pieces):
        begins = range(0, len(piece), CHUNK)
        chunks = [
            resampler.resample_chunk(piece[i : i + CHUNK], last=is_last and i == begins[-1])
            for i in begins
        ]
        samples = np.concatenate(chunks)
        if len(samples):
            yield _bounded(samples)


def _with_last(pieces: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
    """Each piece, and whether it is the last."""
    remaining = iter(pieces)
    piece = next(remaining, None)
    while piece is not None:
        following = next(remaining, None)
        yield piece, following is None
        piece = following


def _bounded(samples: np.ndarray) -> np.ndarray:
    """Samples clipped to [-1, 1], as in an integer file; NaN and infinity become 0."""
    low, high = samples.min(), samples.max()
    if low >= -1 and high <= 1:
        return samples
    if not (np.isfinite(low) and np.isfinite(high)):  # one of them isn't if any sample isn't
        samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    return samples.clip(-1.0, 1.0)
