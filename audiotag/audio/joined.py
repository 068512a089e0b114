"""Files that hold several, one after another, as `cat` joins them: where the next one begins."""

import re
import struct
from collections.abc import Iterator
from typing import IO

import numpy as np

from audiotag.audio.announced_sizes import HEAD, announced_size
from audiotag.audio.chunks import next_known
from audiotag.audio.headers import FLAC_MARK
from audiotag.audio.mp4 import boxes
from audiotag.audio.ogg_pages import OGG_MARK
from audiotag.audio.sources import read_at

WAVPACK_MARK = b"wvpk"
WAVPACK_BLOCK = struct.Struct("<4sI8xIII")  # mark, bytes after these, first sample, count, flags
FIRST_OF_CHANNELS = 0x800  # flag of a block
OGG_BEGIN = b"OggS\x00\x02"  # a page that begins a stream
PAGE = 27  # bytes of an Ogg page's header before the sizes of its segments
FLAC_BEGINS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # with the block that comes first
# Headers that are too long to come by chance: FLV, ASF, TrueAudio, DSF, VOC, WTV and AMR.
HEADERS = (
    *(b"FLV\1" + bytes([flags, 0, 0, 0, 9, 0, 0, 0, 0]) for flags in (0, 1, 4, 5)),
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    *(b"TTA1" + bytes([code, 0]) for code in (1, 2, 3)),
    b"DSD \x1c\0\0\0\0\0\0\0",
    b"Creative Voice File\x1a",
    bytes.fromhex("b7d800203749da11a64e0007e95ead8d"),
    b"#!AMR\n",
    b"#!AMR-WB\n",
)
EBML_MARK, EBML_BYTES = b"\x1a\x45\xdf\xa3", 64
EBML_BEGIN = re.compile(rb"\x1a\x45\xdf\xa3.{1,40}?(?:webm|matroska)", re.DOTALL)
SAME = 4  # bytes that files of one format begin with
LONGEST = max(map(len, HEADERS))
SEARCHED = 2**18  # bytes searched at once, which stay in the CPU's cache


def next_file(file: IO[bytes], begin: int, total: int) -> int | None:
    """Where the next file begins after the one that begins at a byte; None where there is none, and
    for formats that FFmpeg reads on by itself.

    Args:
        file: What holds both.
        begin: The byte.
        total: Bytes of all.
    """
    head = read_at(file, begin, LONGEST)
    if head.startswith(FLAC_MARK):
        return next(_found(file, FLAC_BEGINS, begin + 4, total), None)
    if head.startswith(OGG_MARK):
        return _next_link(file, begin, total)
    if head.startswith(WAVPACK_MARK):
        return _next_wavpack(file, begin, total)
    if head.startswith(EBML_MARK):
        return _next_matroska(file, begin, total)
    if head[4:8] == b"ftyp":
        return _next_mp4(file, begin, total)
    marks = tuple(mark for mark in HEADERS if head.startswith(mark[:4]))
    if head.startswith(HEADERS):
        return next(_found(file, marks, begin + 4, total), None)
    return _next_of_size(file, begin, total)


def _next_of_size(file: IO[bytes], begin: int, total: int) -> int | None:
    """Where the next file begins after one that says how many bytes it has: there, if a file of the
    same format does."""
    head = read_at(file, begin, HEAD)
    size = announced_size(file, head, begin, total)
    if size is None or begin + size >= total:
        return None
    following = read_at(file, begin + size, SAME)
    return begin + size if following == head[:SAME] else None


def _next_link(file: IO[bytes], begin: int, total: int) -> int | None:
    """Where the next link of an Ogg stream begins: at the first page that begins a stream, after
    those that begin the streams of this link."""
    first = begin
    for place in _found(file, (OGG_BEGIN,), begin, total):
        if place != first:
            return place
        header = read_at(file, place, PAGE + 255)
        if len(header) > PAGE - 1:
            first = place + PAGE + header[26] + sum(header[PAGE : PAGE + header[26]])
    return None


def _next_wavpack(file: IO[bytes], begin: int, total: int) -> int | None:
    """Where the next WavPack file begins: at the next block that holds a first sample."""
    place = begin
    while place < total:
        fields = read_at(file, place, WAVPACK_BLOCK.size)
        if len(fields) < WAVPACK_BLOCK.size or not fields.startswith(WAVPACK_MARK):
            found = next_known(file, place + 1, re.escape(WAVPACK_MARK))  # after a tag
            if found is None:
                return None
            place = found
            continue
        _, size, first, count, flags = WAVPACK_BLOCK.unpack(fields)
        if place > begin and first == 0 and count and flags & FIRST_OF_CHANNELS:
            return place
        place += 8 + size
    return None


def _next_matroska(file: IO[bytes], begin: int, total: int) -> int | None:
    """Where the next Matroska file begins: after the segment of this one, or where the next header
    is, if the segment does not say how long it is. FFmpeg reads on into the second file alone."""
    segment = _end_of_element(file, begin)
    end = None if segment is None else _end_of_element(file, segment)
    if end is not None and end <= total:
        return end if EBML_BEGIN.match(read_at(file, end, EBML_BYTES)) else None
    starts = _found(file, (EBML_MARK,), begin + len(EBML_MARK), total)
    return next((at for at in starts if EBML_BEGIN.match(read_at(file, at, EBML_BYTES))), None)


def _end_of_element(file: IO[bytes], place: int) -> int | None:
    """Where an element ends that has a name of four bytes; None if it does not say."""
    first, *rest = read_at(file, place + 4, 8).ljust(8, b"\0")
    more = 8 - first.bit_length()  # bytes of the size after the first
    size = int.from_bytes([first & 0x7F >> more, *rest[:more]], "big")
    is_said = more < 8 and size != (1 << 7 * (more + 1)) - 1
    return place + 5 + more + size if is_said else None


def _next_mp4(file: IO[bytes], begin: int, total: int) -> int | None:
    """Where the next MP4 file begins: at the box `ftyp` after one that says what there is."""
    has_movie = False
    for box in boxes(file, begin, total):
        if box.name == b"ftyp" and has_movie:
            return box.begin
        has_movie |= box.name == b"moov"
    return None


def _found(file: IO[bytes], marks: tuple[bytes, ...], begin: int, total: int) -> Iterator[int]:
    """Where marks are that begin with the same two bytes.

    NumPy finds these in half of the time that `bytes.find` and `re` take.
    """
    longest = max(map(len, marks))
    pair = np.frombuffer(marks[0][:2], np.uint16)[0]
    for place in range(begin, total, SEARCHED):
        data = read_at(file, place, SEARCHED + longest)
        even = 2 * np.flatnonzero(np.frombuffer(data, np.uint16, len(data) // 2) == pair)
        odd = 2 * np.flatnonzero(np.frombuffer(data[1:], np.uint16, (len(data) - 1) // 2) == pair)
        hits = sorted([*even.tolist(), *(odd + 1).tolist()])
        yield from (place + hit for hit in hits if hit < SEARCHED and data.startswith(marks, hit))
