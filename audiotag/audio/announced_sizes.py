"""How many bytes a file has by its own header, of formats that write it down.

A size that a writer did not know yet, as of what went through a pipe, says nothing. WAV, AIFF, CAF,
W64 and AU files are read by `sound_chunks`.
"""

import math
import struct
from collections.abc import Callable
from typing import IO

from audiotag.audio.chunks import is_known
from audiotag.audio.mp4 import boxes
from audiotag.audio.sources import read_at

HEAD = 2**12  # bytes that hold the sizes
MOST_BLOCKS = 100_000  # of a file that is walked block by block
ASF_SIZES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # GUID of an object
BROADCAST = 1  # its flag of a file whose size was not known
EBML_MARK = b"\x1a\x45\xdf\xa3"
MP4_MARKS = (b"ftyp", b"moov", b"mdat")  # after four bytes
REAL_MARK = b".RMF"
VOC_MARK = b"Creative Voice File\x1a"
ADX_BLOCK = 32  # samples
ADX_END = 0x8001  # mark of what fills the last sector
FRAME_OF_TTA = 256 / 245  # s
Size = Callable[[IO[bytes], bytes, int, int], int | None]


def announced_size(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    """Bytes that a file has by its own header; None if it does not say.

    Args:
        file: What holds it.
        head: Its first `HEAD` bytes, or all.
        begin: Its first byte.
        total: Byte after its last.
    """
    for mark, place, read in SIZES:
        if head[place : place + len(mark)] == mark:
            try:
                size = read(file, head, begin, total)
            except struct.error:  # it is cut within its header, or damaged there
                return None
            return size if size and 0 < size < 2**62 else None
    return None


def _field(layout: str, place: int, more: int = 0) -> Size:
    """Reads a size from a place in the header; `more` bytes are not counted by it."""

    def read(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
        (size,) = struct.unpack_from(layout, head, place)
        return size + more if is_known(size) else None

    return read


def _of_riff(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    """AVI and others: RIFF chunks, of which long files have several. WAV files are read by
    `sound_chunks`."""
    if head[8:12] == b"WAVE":
        return None
    place = begin
    for _ in range(MOST_BLOCKS):
        mark, size = struct.unpack("<4sI", read_at(file, place, 8))
        if mark != b"RIFF" or not is_known(size):
            return None
        place += 8 + size + size % 2
        if place >= total - 8 or read_at(file, place, 4) != b"RIFF":
            return place - begin
    return None


def _of_form(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    """8SVX and others; AIFF files are read by `sound_chunks`."""
    if head[8:12] in (b"AIFF", b"AIFC"):
        return None
    return _field(">I", 4, 8)(file, head, begin, total)


def _of_asf(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    place = head.find(ASF_SIZES)
    if place < 0:
        return None
    (size,) = struct.unpack_from("<Q", head, place + 40)
    (flags,) = struct.unpack_from("<I", head, place + 88)
    return None if flags & BROADCAST else size


def _of_flv(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    """What the script tag at the beginning says, or, of a file without one that a tag breaks off
    in, where that tag should end."""
    place = head.find(b"filesize\0")
    if place >= 0:
        (size,) = struct.unpack_from(">d", head, place + 9)
        if 0 < size < 2**53:
            return int(size)
    (offset,) = struct.unpack_from(">I", head, 5)
    place = begin + offset + 4
    for _ in range(MOST_BLOCKS):
        fields = read_at(file, place, 4)
        if len(fields) < 4 or fields[0] & 0x1F not in (8, 9, 18):
            return None
        place += 15 + int.from_bytes(fields[1:], "big")
        if place >= total:
            return place - begin
    return None


def _of_mp4(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    end = None
    for box in boxes(file, begin, total):
        end = box.begin + box.size if box.size else None  # 0: up to the end of the file
    return None if end is None else end - begin


def _of_matroska(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    """The header, and the segment, which may not say its size."""
    place = begin
    for _ in range(2):
        fields = read_at(file, place + 4, 8)
        if len(fields) < 8:
            return None
        more = 8 - fields[0].bit_length()  # bytes of the size after the first
        size = int.from_bytes([fields[0] & 0x7F >> more, *fields[1 : 1 + more]], "big")
        if more > 7 or size == (1 << 7 * (more + 1)) - 1:
            return None
        place += 5 + more + size
    return place - begin


def _of_tta(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    """TrueAudio: the sizes of all frames follow the header."""
    rate, samples = struct.unpack_from("<II", head, 10)
    count = math.ceil(samples / int(rate * FRAME_OF_TTA))
    if count > MOST_BLOCKS:
        return None
    table = read_at(file, begin + 22, 4 * count)
    return 22 + 4 * count + 4 + sum(struct.unpack(f"<{count}I", table))


def _of_ape(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    """Monkey's Audio: the sizes of its parts."""
    (version,) = struct.unpack_from("<H", head, 4)
    if version < 3980:
        return None
    descriptor, header, table, wav, low, high, end = struct.unpack_from("<7I", head, 8)
    return descriptor + header + table + wav + low + (high << 32) + end


def _of_adx(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    """CRI ADX: samples by blocks of a fixed size."""
    offset, encoding, block, bits, channels = struct.unpack_from(">HBBBB", head, 2)
    (samples,) = struct.unpack_from(">I", head, 12)
    if encoding != 3 or bits != 4:
        return None
    size = offset + 4 + math.ceil(samples / ADX_BLOCK) * block * channels
    mark, more = struct.unpack(">HH", read_at(file, begin + size, 4).ljust(4, b"\0"))
    return size + (4 + more if mark == ADX_END else 0)


def _of_sox(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    """SoX's own format: samples of four bytes."""
    end = "<" if head.startswith(b".SoX") else ">"
    offset, samples = struct.unpack_from(f"{end}IQ", head, 4)
    return offset + 4 + 4 * samples if 0 < samples < 2**48 else None


def _of_voc(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    """Blocks, up to one of kind 0."""
    (offset,) = struct.unpack_from("<H", head, 20)
    place = begin + offset
    for _ in range(MOST_BLOCKS):
        fields = read_at(file, place, 4)
        if len(fields) < 4 or fields[0] == 0:
            return None
        place += 4 + int.from_bytes(fields[1:], "little")
        if place > total:
            return place - begin
    return None


def _of_real(file: IO[bytes], head: bytes, begin: int, total: int) -> int | None:
    """RealMedia: chunks, up to the end of the file or the beginning of another."""
    place = begin
    for _ in range(MOST_BLOCKS):
        name, size = struct.unpack(">4sI", read_at(file, place, 8).ljust(8, b"\0"))
        if place >= total or (name == REAL_MARK and place > begin):
            return place - begin
        if not is_known(size) or not name.strip(b".").isalnum():
            return None
        place += size
    return None


SIZES: tuple[tuple[bytes, int, Size], ...] = (
    (b"RIFF", 0, _of_riff),
    (b"FORM", 0, _of_form),
    (b"MMMD", 0, _field(">I", 4, 8)),
    (b"FRM8", 0, _field(">Q", 4, 12)),
    (b"DSD ", 0, _field("<Q", 12)),
    (bytes.fromhex("3026b2758e66cf11"), 0, _of_asf),
    (b"FLV\1", 0, _of_flv),
    *((mark, 4, _of_mp4) for mark in MP4_MARKS),
    (EBML_MARK, 0, _of_matroska),
    (b"TTA1", 0, _of_tta),
    (b"MAC ", 0, _of_ape),
    (b"\x80\x00", 0, _of_adx),
    (b".SoX", 0, _of_sox),
    (b"XoS.", 0, _of_sox),
    (VOC_MARK, 0, _of_voc),
    (REAL_MARK, 0, _of_real),
)
