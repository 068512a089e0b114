"""The files that a file consists of, each decoded on its own.

Most are one. Others have something before the first byte, such as a tag that a program wrote for
another format, or hold several files in a row: links of an Ogg stream, FLAC files or WAV files that
were joined by `cat`.
"""

import re
import struct
from collections.abc import Iterator
from typing import IO

import numpy as np

from audiotag.audio.chunks import next_known
from audiotag.audio.headers import (
    FLAC_MARK,
    RUN_BYTES,
    after_tags,
    are_frames,
    frames_begin,
)
from audiotag.audio.helper_process import Warn
from audiotag.audio.repaired import Part, cut_out, read_uncompressed
from audiotag.audio.sources import Source, open_source, read_at, size_of

WAVPACK_MARK = b"wvpk"
WAVPACK_BLOCK = struct.Struct("<4sI8xIII")  # mark, bytes after these, first sample, count, flags
FIRST_OF_CHANNELS = 0x800  # flag of a block
OGG_MARK = b"OggS"
OGG_BEGIN = b"OggS\x00\x02"  # a page that begins a stream
FLAC_BEGINS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # with the block that comes first
# Marks that are too long to come by chance; of an MP3 file, its first frame where that says so.
BEGINS = re.compile(
    rb"(?:RIFF|RIFX|RF64|BW64)....WAVE|FORM....AIF[FC]|riff\x2e\x91\xcf\x11|caff\x00.\x00\x00desc|"
    rb"\.snd\x00.......\x00\x00\x00[\x01-\x1b]|fLaC[\x00\x80]\x00\x00\x22|OggS\x00\x02|"
    rb"wvpk....[\x02-\x10]\x04|\x00\x00\x00.ftyp|\x1a\x45\xdf\xa3.{1,40}?(?:webm|matroska)|"
    rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11|\xff[\xe2\xe3\xf2\xf3\xfa\xfb].{11,34}?(?:Xing|Info)",
    re.DOTALL,
)
# How files begin whose beginning need not be searched for: MP3 and AAC; AC-3; Matroska; ASF; FLV,
# WavPack, Monkey's Audio, CAF, AU, W64, MPEG's streams; MP4 has its mark after four bytes.
OTHERS = re.compile(
    rb"\xff[\xe0-\xff]|\x0b\x77|\x1a\x45\xdf\xa3|\x30\x26\xb2\x75|FLV|wvpk|MAC |caff|\.snd|riff|"
    rb"\x00\x00\x01[\xb3\xba]|\x47|....ftyp|#!AMR|TTA|RIFF|FORM|MPCK|MP\+|Creative|DSD |FRM8|"
    rb"\x06\x0e\x2b\x34|[FC]WS|\x7f\xfe\x80\x01|NIST|DKIF|nut/|OFR",
    re.DOTALL,
)
TAG_MARK = b"ID3"
HEAD = 64  # bytes that show how a file begins
JUNK = 2**18  # bytes before a file that are searched for its beginning
TAGS = 2**20  # the same, where a tag begins the file, whose size may be wrong
SEARCHED = 2**18  # bytes searched at once, which stay in the CPU's cache
PAGE = 27  # bytes of an Ogg page's header before the sizes of its segments


def parts_of(source: Source, warn: Warn) -> list[Part]:
    """The files that a file consists of, in order.

    Args:
        source: The file.
        warn: Told where it cannot be decided how far the sound goes.

    Raises:
        DecodeError: It has a header of samples and none of them.
        OSError: It cannot be opened.
    """
    parts: list[Part] = []
    with open_source(source) as file:
        place: int | None = _beginning(file)
        total = size_of(file)
        while place is not None:
            parts.append(_part_at(file, source, place, total, warn))
            place = parts[-1].following
    return parts


def _beginning(file: IO[bytes]) -> int:
    """Where the sound's file begins, after what was put before it."""
    head = read_at(file, 0, HEAD)
    if BEGINS.match(head) or OTHERS.match(head):
        return 0
    if not head.startswith(TAG_MARK):
        data = read_at(file, 0, JUNK)
        found = BEGINS.search(data)
        return found.start() if found else frames_begin(data) or 0
    place = after_tags(file)
    head = read_at(file, place, HEAD)
    if BEGINS.match(head):
        return place
    if are_frames(read_at(file, place, RUN_BYTES), 0):
        return 0
    found = BEGINS.search(read_at(file, 0, TAGS))
    return found.start() if found else 0


def _part_at(file: IO[bytes], source: Source, begin: int, total: int, warn: Warn) -> Part:
    """The file that begins at a byte of another."""
    part = read_uncompressed(file, source, begin, total, warn)
    if part is not None:
        return part
    head = read_at(file, begin, len(OGG_MARK))
    following = None
    if head == FLAC_MARK:
        following = next(_found(file, FLAC_BEGINS, begin + 4, total), None)
    elif head == OGG_MARK:
        following = _next_link(file, begin, total)
    elif head == WAVPACK_MARK:
        following = _next_wavpack(file, begin, total)
    return Part(cut_out(source, begin, following, total), following=following)


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
