"""Whether the last frame of a file without a header is there as a whole.

Each frame begins with a mark and says how long it is. So frames form a chain, up to the end of the
file, or to a tag there. Where the chain begins is found near the end.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from audiotag.audio.chunks import tags_begin
from audiotag.audio.headers import after_tag
from audiotag.audio.sources import read_at

TAIL = 2**17  # bytes at the end that are looked at
RUN = 4  # frames that do not follow one another by chance
AC3_RATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
AC3_HZ = (48_000, 44_100, 32_000)
MPEG_BITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
MPEG_BITS[2, 3] = MPEG_BITS[2, 2]
MPEG_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
AMR_BYTES = (13, 14, 16, 18, 20, 21, 27, 32, 6, 1, 1, 1, 1, 1, 1, 1)  # of a frame, by its kind
AMR_WB_BYTES = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 1, 1, 1, 1, 1, 1)
SBC_BLOCKS = (4, 8, 12, 16)
TS_PACKETS = (188, 192, 204)
TS_SYNC = 0x47


@dataclass(frozen=True)
class Chain:
    """How the frames of a format follow one another.

    Attributes:
        mark: What a frame begins with.
        header: Bytes that say how long it is.
        size: Bytes of the frame with a header; 0 if it is none.
    """

    mark: re.Pattern[bytes]
    header: int
    size: Callable[[bytes], int]


def last_frame_is_cut(file: IO[bytes], head: bytes, begin: int, total: int) -> bool:
    """Whether a file breaks off within its last frame; False if it has no frames of a known kind.

    Args:
        file: What holds it.
        head: Its first bytes.
        begin: Its first byte.
        total: Byte after its last.
    """
    packet = next((size for size in TS_PACKETS if _are_packets(head, size)), None)
    if packet is not None:
        return (total - begin) % packet != 0
    for mark, table in ((b"#!AMR\n", AMR_BYTES), (b"#!AMR-WB\n", AMR_WB_BYTES)):
        if head.startswith(mark):
            return _amr_is_cut(read_at(file, begin + len(mark), total - begin), table)
    first = after_tag(head)
    chain = chain_of(head[first:] if first < len(head) else read_at(file, begin + first, 2**12))
    if chain is None:
        return False
    tail = read_at(file, max(begin + first, total - TAIL), TAIL)
    tail = tail[: tags_begin(tail)]
    start = next(
        (hit.start() for hit in chain.mark.finditer(tail) if _follow(chain, tail, hit.start())),
        None,
    )
    return start is not None and _end(chain, tail, start) > len(tail)


def chain_of(data: bytes) -> Chain | None:
    """The format of the frames that data begins with; None if there are none."""
    return next((chain for chain in CHAINS if _follow(chain, data, 0)), None)


def _follow(chain: Chain, data: bytes, place: int) -> bool:
    """Whether frames follow one another from a place on, as far as the data goes."""
    for count in range(RUN):
        header = data[place : place + chain.header]
        if len(header) < chain.header:
            return count >= RUN - 1
        size = chain.size(header) if chain.mark.match(header) else 0
        if not size:
            return False
        place += size
    return True


def _end(chain: Chain, data: bytes, place: int) -> int:
    """Where the last frame of a chain should end."""
    while place < len(data):
        header = data[place : place + chain.header]
        whole = header.ljust(chain.header, b"\0")
        size = chain.size(whole) if chain.mark.match(whole) else 0
        if not size:
            is_begun = len(header) < len(whole) and chain.mark.match(whole)
            return len(data) + 1 if is_begun else place  # else something else follows
        place += size
    return place


def _are_packets(head: bytes, size: int) -> bool:
    """Whether MPEG-TS packets of so many bytes follow one another; the mark of Blu-ray's comes
    after four other bytes."""
    first = size - 188 if size == 192 else 0
    marks = head[first::size][: 2 * RUN]
    return len(marks) == 2 * RUN and set(marks) == {TS_SYNC}


def _amr_is_cut(data: bytes, table: tuple[int, ...]) -> bool:
    place = 0
    while place < len(data):
        place += table[data[place] >> 3 & 15]
    return place > len(data)


def _adts(header: bytes) -> int:
    return (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5


def _mpeg(header: bytes) -> int:
    """MPEG audio of any layer (ISO/IEC 11172-3, 2.4.2.3)."""
    (word,) = struct.unpack(">I", header)
    version, layer = word >> 19 & 3, 4 - (word >> 17 & 3)
    bits, rate, padding = word >> 12 & 15, word >> 10 & 3, word >> 9 & 1
    if version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return 0
    generation, hertz = (1 if version == 3 else 2), MPEG_HZ[version][rate]
    bits = 1000 * MPEG_BITS[generation, layer][bits - 1]
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    return (72 if layer == 3 and generation == 2 else 144) * bits // hertz + padding


def _ac3(header: bytes) -> int:
    """AC-3 and E-AC-3 (ATSC A/52, 5.3 and E.1.2)."""
    if header[5] >> 3 > 10:  # which tells E-AC-3
        return 2 * (((header[2] & 7) << 8 | header[3]) + 1)
    rate, code = header[4] >> 6, header[4] & 63
    if rate == 3 or code >> 1 >= len(AC3_RATES):
        return 0
    bits, hertz = AC3_RATES[code >> 1] * 1000, AC3_HZ[rate]
    words = bits * 1536 // 16 // hertz
    return 2 * (words + (code & 1 if rate == 1 else 0))


def _dts(header: bytes) -> int:
    return ((header[5] & 3) << 12 | header[6] << 4 | header[7] >> 4) + 1


def _loas(header: bytes) -> int:
    return ((header[1] & 0x1F) << 8 | header[2]) + 3


def _sbc(header: bytes) -> int:
    """SBC (A2DP, 12.9)."""
    bands = 8 if header[1] & 1 else 4
    blocks, mode, pool = SBC_BLOCKS[header[1] >> 4 & 3], header[1] >> 2 & 3, header[2]
    channels = 1 if mode == 0 else 2
    size = 4 + bands * channels // 2
    if mode < 2:
        return size + -(-blocks * channels * pool // 8)
    return size + -(-((bands if mode == 3 else 0) + blocks * pool) // 8)


def _ps(header: bytes) -> int:
    """Packs and packets of an MPEG programme stream (ISO/IEC 13818-1, 2.5.3)."""
    if header[3] == 0xB9:  # its end
        return 4
    if header[3] == 0xBA:
        return 14 + (header[13] & 7) if header[4] >> 6 == 1 else 12
    size = header[4] << 8 | header[5]
    return 6 + size if size else 0


CHAINS = (
    Chain(re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), 6, _adts),
    Chain(re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]"), 4, _mpeg),
    Chain(re.compile(rb"\x0b\x77"), 6, _ac3),
    Chain(re.compile(rb"\x7f\xfe\x80\x01"), 8, _dts),
    Chain(re.compile(rb"\x56[\xe0-\xff]"), 3, _loas),
    Chain(re.compile(rb"\x9c"), 3, _sbc),
    Chain(re.compile(rb"\x00\x00\x01[\xb9-\xff]"), 14, _ps),
)
