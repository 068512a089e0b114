"""Where the samples of a file are, found chunk by chunk: of WAV (RIFF, RIFX, RF64, BW64), W64, AIFF
and CAF."""

import struct
from dataclasses import dataclass, field
from typing import IO

from audiotag.audio.chunks import (
    BIG,
    MOST_CHUNKS,
    RIFF,
    WRAP,
    Chunk,
    Form,
    after,
    is_file,
    is_known,
    is_tail,
    next_known,
    read_chunk,
    tail_begin,
    zeros,
)
from audiotag.audio.sources import Span

LAYOUTS = (b"fmt ", b"COMM", b"desc")  # chunks that say how samples are stored


@dataclass
class SoundChunks:
    """What has been read of a file's chunks.

    Attributes:
        total: Bytes of the file.
        chunks: All but those of samples.
        spans: Where samples are.
        is_right: Whether decoders that know nothing of this read it in the same way.
        following: Byte that another file begins at.
        beyond: Bytes that were taken for samples, though no size covers them.
        left: Bytes of zeros after the samples that were left out.
        missing: Bytes of samples that a size announces, and that are not there.
        lead: Bytes to put before the samples.
    """

    total: int
    chunks: list[Chunk] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    is_right: bool = True
    following: int | None = None
    beyond: int = 0
    left: int = 0
    missing: int = 0
    lead: bytes = b""


def read_wav(file: IO[bytes], begin: int, total: int, head: bytes) -> SoundChunks:
    """The chunks of a WAV file that begins at a byte with `head`, of `total` bytes."""
    form = BIG if head.startswith(b"RIFX") else RIFF
    is_long = head[12:16] == b"ds64"
    long = struct.unpack_from("<Q", head, 28)[0] if is_long and len(head) > 36 else None
    (size,) = form.size.unpack(head[4:8])
    read = read_chunks(file, form, begin + 12, total, b"data", long)
    end = max((span.end for span in read.spans), default=0)
    read.is_right &= begin + 8 + size >= end if long is None else long <= total
    return read


def read_chunks(
    file: IO[bytes], form: Form, place: int, total: int, data: bytes, long: int | None = None
) -> SoundChunks:
    """Read the chunks from a place on.

    Args:
        file: The file.
        form: How it writes them.
        place: The place.
        total: Bytes of the file.
        data: Name of the chunk that holds samples.
        long: Its size, where it is written elsewhere.
    """
    read = SoundChunks(total)
    for _ in range(MOST_CHUNKS):
        if place >= total:
            break
        if read.spans and is_file(file, place):
            read.following = place
            break
        chunk = read_chunk(file, form, place)
        if chunk is not None and chunk.name == data:
            size = chunk.size if long is None else long
            place = _read_samples(file, form, Chunk(data, chunk.begin, size), total, read)
            continue
        following = None
        if chunk is not None:
            read.chunks.append(chunk)
            read.is_right &= not (read.spans and chunk.name in LAYOUTS)
            if 0 <= chunk.size <= total - chunk.begin:
                following = after(file, form, chunk, total)
                read.is_right &= following in (None, total, chunk.aligned_end(form))
        if following is None:
            if read.spans:
                break
            read.is_right = False
            following = next_known(file, place + 1, data)
        if following is None:
            break
        place = following
    return read


def _read_samples(file: IO[bytes], form: Form, chunk: Chunk, total: int, read: SoundChunks) -> int:
    """Find where the samples of a chunk end; gives the place after them."""
    is_said = chunk.size > 0 or (chunk.size == 0 and is_tail(file, form, chunk.begin, total))
    if is_said and chunk.end <= total:
        following = after(file, form, chunk, total)
        if following is not None and is_tail(file, form, following, total):
            read.spans.append(Span(chunk.begin, chunk.end))
            read.is_right &= following in (total, chunk.aligned_end(form))
            return following
        read.is_right = False
        left = total - chunk.end
        if left < WRAP // 2 and zeros(file, chunk.end, total):
            read.spans.append(Span(chunk.begin, chunk.end))
            read.left += left
            return total
        end = tail_begin(file, form, chunk.end, total)
        read.beyond += end - chunk.end
    else:
        end = tail_begin(file, form, chunk.begin, total)
        read.is_right &= end == total and chunk.size > 0
        read.missing = max(0, chunk.end - total) if is_known(chunk.size) else 0
    read.spans.append(Span(chunk.begin, end))
    return end
