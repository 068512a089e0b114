"""Audio in: any recording as mono float32 at the sample rate a model wants.

`stream` reads a file of any length in bounded memory, `windows` cuts the stream into pieces of
equal length, `read` and `decode_bytes` give a short recording whole.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import soxr

from audiotag.blocks import Block, DecodeError, Source
from audiotag.decoders import decode
from audiotag.errors import AudioError

AUDIO_EXTENSIONS = frozenset(
    ".wav .wave .bwf .w64 .rf64 .flac .mp3 .mp2 .mpga .ogg .oga .opus .spx .aif .aiff .aifc .au"
    " .snd .caf .m4a .m4b .aac .alac .wma .wv .ape .tta .mpc .ac3 .eac3 .dts .amr .voc .mka .weba"
    " .mp4 .m4v .mov .mkv .webm .avi .wmv .asf .flv .f4v .ogv .3gp .3g2 .mpg .mpeg .mts .m2ts .vob"
    "".split()
)
PIECE = 10.0  # s resampled into one array
CHUNK = 2**15  # samples given to the resampler at once: it works faster on what caches hold


@dataclass(frozen=True)
class Window:
    """A piece of a recording.

    Attributes:
        start: its beginning in the recording, in seconds.
        end: its end in the recording, in seconds.
        samples: (T,) mono float32; longer than `end - start` where silence follows a short one.
    """

    start: float
    end: float
    samples: np.ndarray


def stream(
    path: str | Path, sample_rate: int, start: float = 0.0, duration: float | None = None
) -> Iterator[np.ndarray]:
    """Read a recording block by block, in memory that does not grow with its length.

    A damaged recording gives whatever of it can be decoded. Samples that are not finite, as
    damaged float files hold, become silence.

    Args:
        path: an audio or video file.
        sample_rate: rate of the result, in Hz.
        start: time to start at, in seconds.
        duration: seconds to read, everything where None; a shorter recording ends earlier.

    Yields:
        Mono float32 blocks in [-1, 1], of shape (T,) with T > 0; at least one.

    Raises:
        AudioError: the file cannot be opened or nothing of it decoded; names file and reason.
        ValueError: `start` is negative or `duration` is not positive.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise AudioError(f"{path}: is not a file")
        yield from _stream(path, str(path), sample_rate, start, duration)
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened ({error.strerror})") from error


def read(
    path: str | Path, sample_rate: int, start: float = 0.0, duration: float | None = None
) -> np.ndarray:
    """Read a recording, or a part of it, into memory; arguments and errors as for `stream`.

    Returns:
        Mono float32 in [-1, 1], of shape (T,).
    """
    return np.concatenate(list(stream(path, sample_rate, start, duration)))


def decode_bytes(data: bytes, sample_rate: int) -> np.ndarray:
    """Decode a file that is in memory already, as out of an archive.

    Returns:
        Mono float32 in [-1, 1], of shape (T,).

    Raises:
        AudioError: nothing of it can be decoded.
    """
    return np.concatenate(list(_stream(data, "audio data", sample_rate, 0.0, None)))


def windows(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    length: float = 10.0,
    hop: float | None = None,
    minimum: float = 2.0,
) -> Iterator[Window]:
    """Cut a stream into windows that start at 0, hop, 2 hop and so on.

    The last window is moved back to end with the recording, so that every window has full
    length and none is padded. A recording shorter than `length` is one window of its own length.
    Samples shorter than `minimum` are followed by silence up to it: repeated, many a short sound
    would be another one, as a knock becomes a machine.

    Args:
        blocks: consecutive samples, each (T,), as from `stream`.
        sample_rate: their rate, in Hz.
        length: of a window, in seconds.
        hop: from one start to the next, in seconds; `length` where None, more leaves gaps.
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


def followed_by_silence(samples: np.ndarray, size: int) -> np.ndarray:
    """Samples (T,) with zeros after them where there are fewer than `size`."""
    missing = size - len(samples)
    return np.pad(samples, (0, missing)) if missing > 0 else samples


def _stream(
    source: Source, name: str, sample_rate: int, start: float, duration: float | None
) -> Iterator[np.ndarray]:
    if start < 0 or (duration is not None and duration <= 0):
        raise ValueError(f"start {start} s must not be negative, duration {duration} s positive")
    blocks = decode(source, start, np.inf if duration is None else duration)
    try:
        for rate, group in groupby(blocks, key=itemgetter(0)):
            yield from _resampled(_pieces(group), rate, sample_rate)
    except DecodeError as error:
        raise AudioError(f"{name}: {error}{f' from {start} s on' if start else ''}") from error


def _pieces(blocks: Iterable[Block]) -> Iterator[np.ndarray]:
    """Blocks of one rate as bounded samples in pieces of at most `PIECE` seconds."""
    for rate, mono in blocks:
        step = round(PIECE * rate)
        for begin in range(0, len(mono), step):
            yield _bounded(mono[begin : begin + step])


def _resampled(pieces: Iterable[np.ndarray], rate: int, sample_rate: int) -> Iterator[np.ndarray]:
    if rate == sample_rate:
        yield from pieces
        return
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
    """Samples clipped to [-1, 1], as an integer file would hold them; what is no number gives 0."""
    low, high = samples.min(), samples.max()
    if low >= -1 and high <= 1:
        return samples
    if not (np.isfinite(low) and np.isfinite(high)):  # one of them isn't if any sample isn't
        samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    return samples.clip(-1.0, 1.0)


def _spans(blocks: Iterable[np.ndarray], size: int, step: int) -> Iterator[tuple[int, np.ndarray]]:
    """Index of the first sample and the samples of each window, the last one moved back."""
    held, offset = np.empty(0, np.float32), 0  # samples held, and the index of the first
    due, end = 0, 0  # start of the next window, end of the last
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        while due + size <= offset + len(held):
            part = held[due - offset :][:size]
            yield due, part if 2 * size > len(held) else part.copy()  # not to keep the rest too
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
