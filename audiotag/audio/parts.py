"""The files that a file consists of, each decoded on its own.

Most files are a single one. Some have other bytes before it, such as a tag of another format. Some
consist of several files in a row: links of an Ogg stream, or FLAC or WAV files joined by `cat`.
"""

import re
from typing import IO

from audiotag.audio.headers import RUN_BYTES, after_tags, are_frames, frames_begin
from audiotag.audio.helper_process import Warn
from audiotag.audio.joined import next_file
from audiotag.audio.repaired import Part, cut_out, read_uncompressed
from audiotag.audio.sources import Source, open_source, read_at, size_of

# Marks that are too long to come by chance; of an MP3 file, its first frame where that says so.
BEGINS = re.compile(
    rb"(?:RIFF|RIFX|RF64|BW64)....WAVE|FORM....AIF[FC]|riff\x2e\x91\xcf\x11|caff\x00.\x00\x00desc|"
    rb"\.snd\x00.......\x00\x00\x00[\x01-\x1b]|fLaC[\x00\x80]\x00\x00\x22|OggS\x00\x02|"
    rb"wvpk....[\x02-\x10]\x04|\x00\x00\x00.ftyp|\x1a\x45\xdf\xa3.{1,40}?(?:webm|matroska)|"
    rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11|\xff[\xe2\xe3\xf2\xf3\xfa\xfb].{11,34}?(?:Xing|Info)",
    re.DOTALL,
)
# First bytes of files that need no search for their beginning: MP3 and AAC; AC-3; Matroska; ASF;
# FLV, WavPack, Monkey's Audio, CAF, AU, W64, MPEG's streams; MP4 has its mark after four bytes.
OTHERS = re.compile(
    rb"\xff[\xe0-\xff]|\x0b\x77|\x1a\x45\xdf\xa3|\x30\x26\xb2\x75|FLV|wvpk|MAC |caff|\.snd|riff|"
    rb"\x00\x00\x01[\xb3\xba]|\x47|....ftyp|#!AMR|TTA|RIFF|FORM|MPCK|MP\+|Creative|DSD |FRM8|"
    rb"\x06\x0e\x2b\x34|[FC]WS|\x7f\xfe\x80\x01|NIST|DKIF|nut/|OFR",
    re.DOTALL,
)
MOST_PARTS = 2_000  # files in a row; a day of radio has 500, a damaged file any number
TAG_MARK = b"ID3"
HEAD = 64  # bytes that show how a file begins
JUNK = 2**18  # bytes before a file that are searched for its beginning
TAGS = 2**20  # the same, where a tag begins the file, whose size may be wrong


def parts_of(source: Source, warn: Warn) -> list[Part]:
    """The files that a file consists of, in order.

    Args:
        source: The file.
        warn: Called if it is doubtful where the sound ends.

    Raises:
        DecodeError: It has a header, but no samples.
        OSError: It cannot be opened.
    """
    parts: list[Part] = []
    with open_source(source) as file:
        place: int | None = _beginning(file)
        total = size_of(file)
        while place is not None:
            if len(parts) == MOST_PARTS:
                warn(f"consists of more than {MOST_PARTS} files in a row; the others are not heard")
                break
            parts.append(_part_at(file, source, place, total, warn))
            place = parts[-1].following
    return parts


def _beginning(file: IO[bytes]) -> int:
    """Where the audio file begins, after bytes that were put before it."""
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
    following = next_file(file, begin, total)
    return Part(cut_out(source, begin, following, total), following=following)
