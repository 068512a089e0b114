"""Whether a FLAC or Vorbis file goes on after the end that it says, by its last frames or pages.

libsndfile and miniaudio stop where the file says; FFmpeg decodes what there is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO

import numpy as np

from audiotag.audio.ogg_pages import OGG_MARK, PAGE
from audiotag.audio.sources import read_at, size_of

TAIL = 2**16  # bytes at the end of a file that are looked at
FLAC_SYNC, FLAC_SYNC_BITS = 0xF8, 0xFE  # after 0xFF; the last bit: blocks have various sizes
FLAC_HEADER = 16  # bytes of a frame's header at most
SIZE_BYTES, RATE_BYTES = {6: 1, 7: 2}, {12: 1, 13: 2, 14: 2}  # that codes add to a frame's header
BLOCK_SIZES = {1: 192, **{code: 576 << code - 2 for code in range(2, 6)}}  # samples, by their code
BLOCK_SIZES |= {code: 256 << code - 8 for code in range(8, 16)}
CRC_8 = 0x07  # the polynomial that guards a frame's header
FIRST = 8  # packets that may have no sound of their own: headers, and the first
WHOLE = 255  # a segment of fewer bytes ends a packet
SHORT_BLOCK = 56  # byte of a Vorbis file's first page, whose lower bits say how short blocks are


@dataclass(frozen=True)
class _Frame:
    """A FLAC frame, by its header.

    Attributes:
        number: Its own, or that of its first sample.
        is_of_sample: Whether it is that of its first sample.
        size: Samples of each channel.
    """

    number: int
    is_of_sample: bool
    size: int


def flac_goes_on(file: IO[bytes], count: int) -> bool | None:
    """Whether the last frame of a FLAC file begins after so many samples; None if none is found."""
    tail = read_at(file, max(0, size_of(file) - TAIL), TAIL)
    frames = list(islice(_last_frames(tail), 2))
    if not frames:
        return None
    size = max(frame.size for frame in frames)  # of all but the last, which may be shorter
    return frames[0].number * (1 if frames[0].is_of_sample else size) >= count


def _last_frames(data: bytes) -> Iterator[_Frame]:
    """FLAC frames, from the last one back."""
    values = np.frombuffer(data, np.uint8)
    places = np.flatnonzero((values[1:] & FLAC_SYNC_BITS == FLAC_SYNC) & (values[:-1] == 0xFF))
    for place in reversed(places.tolist()):
        frame = _frame(data[place : place + FLAC_HEADER])
        if frame is not None:
            yield frame


def _frame(header: bytes) -> _Frame | None:
    """The frame with a header; None if it is none."""
    if len(header) < FLAC_HEADER or header[3] & 1:
        return None
    size_code, rate_code = header[2] >> 4, header[2] & 15
    more = max(0, 8 - (header[4] ^ 0xFF).bit_length() - 1)  # bytes of the number after the first
    after = 5 + more
    end = after + SIZE_BYTES.get(size_code, 0) + RATE_BYTES.get(rate_code, 0)
    if not size_code or rate_code == 15 or end >= FLAC_HEADER or _crc_8(header[: end + 1]):
        return None
    number = header[4] & (0x7F >> more + (more > 0))
    for byte in header[5:after]:
        number = number << 6 | byte & 0x3F
    size = int.from_bytes(header[after:][: SIZE_BYTES.get(size_code, 0)], "big") + 1
    return _Frame(number, bool(header[1] & 1), BLOCK_SIZES.get(size_code, size))


def _crc_8(header: bytes) -> int:
    value = 0
    for byte in header:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (CRC_8 if value & 0x80 else 0)) & 0xFF
    return value


def vorbis_goes_on(file: IO[bytes]) -> bool:
    """Whether an Ogg file of Vorbis has more packets than fit before the time of its last page."""
    shortest = 1 << (read_at(file, SHORT_BLOCK, 1) or b"\0")[0] % 16 >> 1
    begin = max(0, size_of(file) - TAIL)
    tail = read_at(file, begin, TAIL)
    times, packets, is_timed = [0] if begin == 0 else [], 0, True
    for time, count in _pages(tail):
        packets += count if times else 0
        times += [time] if time >= 0 else []
        is_timed = time >= 0 or not count
    if not times or not is_timed:
        return not is_timed
    return times[-1] < max(times) or times[-1] - times[0] < (packets - FIRST) * shortest


def _pages(data: bytes) -> Iterator[tuple[int, int]]:
    """Times of pages, and the packets that end in each."""
    place = data.find(OGG_MARK)
    while 0 <= place <= len(data) - PAGE.size:
        mark, _, _, time, _, _, _, segments = PAGE.unpack_from(data, place)
        if mark != OGG_MARK:
            return
        sizes = data[place + PAGE.size :][:segments]
        yield time, len(sizes) - sizes.count(WHOLE)
        place += PAGE.size + segments + sum(sizes)
