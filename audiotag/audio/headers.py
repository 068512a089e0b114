"""The exact length of a FLAC or MP3 file in samples, from its first bytes."""

import re
import struct
from dataclasses import dataclass
from typing import IO

from audiotag.audio.sources import read_at

FLAC_MARK = b"fLaC"
STREAMINFO = slice(18, 26)  # FLAC's rate, channels, bits of a sample and samples, 20, 3, 5, 36 bits
MOST_TAGS = 100
TAG_HEADER = 10  # bytes of an ID3v2 tag before those that its size counts
TAG_FOOTER = 0x10  # flag of as many bytes after them
# MPEG audio's versions, by their two bits in a frame's header.
MPEG_1, MPEG_2, MPEG_25 = 3, 2, 0
RATES = {MPEG_1: (44_100, 48_000, 32_000), MPEG_2: (22_050, 24_000, 16_000)}
RATES[MPEG_25] = (11_025, 12_000, 8_000)
LAYER_3, MONO = 1, 3  # in a frame's header
SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # of layer 3
RUN = 4  # frames that do not follow one another by chance
RUN_BYTES = 6_000  # that contain `RUN` frames
# kbit/s of layer 3, by the four bits of the header; 0 where it is free, 15 does not exist.
BIT_RATES = {MPEG_1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)}
BIT_RATES[MPEG_2] = BIT_RATES[MPEG_25] = (
    0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0
)  # fmt: skip
FRAME = {MPEG_1: 1152, MPEG_2: 576, MPEG_25: 576}  # samples
DECODER_DELAY = 529  # samples that every decoder of layer 3 adds at the beginning
MARKS = (b"Xing", b"Info")  # of the variable and the constant bit rate
ALL_FIELDS = 0xF
ENCODERS = (b"LAME", b"Lavf", b"Lavc")  # that add the delay and the padding
FIRST_FRAME = 192  # bytes of the first frame that hold all of this


@dataclass(frozen=True)
class Announced:
    """The audio of a file, as its header announces it.

    Attributes:
        begin: First byte of the audio, after tags.
        size: Bytes of the audio; None if the header does not say.
        rate: Sample rate in Hz.
        channels: Number of channels.
        count: Samples of each channel.
        skipped: Samples of each channel before them, from the encoder's and decoder's delays.
        decoded: Samples of each channel in all frames.
    """

    begin: int
    size: int | None
    rate: int
    channels: int
    count: int
    skipped: int
    decoded: int


def read_announced(file: IO[bytes]) -> Announced | None:
    """The header of a FLAC or MP3 file; None for other formats, and if the header does not give the
    file's length."""
    head = file.read(STREAMINFO.stop)
    if head.startswith(FLAC_MARK):
        return _of_flac(head)
    begin = after_tag(head)
    file.seek(begin)
    return _of_mp3(file.read(FIRST_FRAME), begin)


def _of_flac(head: bytes) -> Announced | None:
    if len(head) < STREAMINFO.stop:
        return None
    form = int.from_bytes(head[STREAMINFO], "big")
    count = form & (1 << 36) - 1  # 0 where it was not known
    channels = (form >> 41 & 7) + 1
    return Announced(0, None, form >> 44, channels, count, 0, count) if count else None


def after_tag(head: bytes) -> int:
    """Number of the byte after an ID3v2 tag, whose size is written in bytes of seven bits."""
    if not head.startswith(b"ID3") or len(head) < TAG_HEADER:
        return 0
    size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return TAG_HEADER + size + (TAG_HEADER if head[5] & TAG_FOOTER else 0)


def _of_mp3(frame: bytes, begin: int) -> Announced | None:
    """The header in the first frame, if that is a silent one with "Xing" or "Info" and LAME's
    fields."""
    header = int.from_bytes(frame[:4], "big")
    version, unprotected = header >> 19 & 3, header >> 16 & 1
    rate, mode = header >> 10 & 3, header >> 6 & 3
    if len(frame) < FIRST_FRAME or not unprotected or not _is_layer_3(header):
        return None
    channels = 1 if mode == MONO else 2
    side = (17, 32) if version == MPEG_1 else (9, 17)
    fields = frame[4 + side[channels - 1] :]
    mark, flags, frames, size = struct.unpack(">4sIII", fields[:16])
    if mark not in MARKS or flags & ALL_FIELDS != ALL_FIELDS or fields[120:124] not in ENCODERS:
        return None
    gaps = int.from_bytes(fields[141:144], "big")
    delay, decoded = gaps >> 12, frames * FRAME[version]
    count = decoded - delay - (gaps & 0xFFF)
    length = _frame_bytes(header, version, RATES[version][rate])
    if count <= 0 or not length:
        return None
    skipped = delay + DECODER_DELAY
    return Announced(
        begin + length, size - length, RATES[version][rate], channels, count, skipped, decoded
    )


def after_tags(file: IO[bytes]) -> int:
    """Number of the byte after all ID3v2 tags at the start of a file, at most `MOST_TAGS`."""
    place = 0
    for _ in range(MOST_TAGS):
        place += after_tag(read_at(file, place, TAG_HEADER))
    return place


def free_format(file: IO[bytes]) -> tuple[int, int] | None:
    """Rate in Hz and channels of an MP3 file whose first frame, after tags, leaves the bit rate
    open; None for all others."""
    header = int.from_bytes(read_at(file, after_tags(file), 4), "big")
    if not _is_layer_3(header) or header >> 12 & 15:
        return None
    return RATES[header >> 19 & 3][header >> 10 & 3], 1 if header >> 6 & 3 == MONO else 2


def frames_begin(data: bytes) -> int | None:
    """Where frames of layer 3 begin that follow one another; None if there are none."""
    return next((hit.start() for hit in SYNC.finditer(data) if are_frames(data, hit.start())), None)


def are_frames(data: bytes, place: int) -> bool:
    """Whether frames of layer 3 follow one another at a place."""
    for _ in range(RUN):
        header = int.from_bytes(data[place : place + 4], "big")
        if not _is_layer_3(header):
            return False
        version = header >> 19 & 3
        place += _frame_bytes(header, version, RATES[version][header >> 10 & 3]) or len(data)
    return True


def _is_layer_3(header: int) -> bool:
    layer, version, rate = header >> 17 & 3, header >> 19 & 3, header >> 10 & 3
    return header >> 21 == 0x7FF and layer == LAYER_3 and version in RATES and rate < 3


def _frame_bytes(header: int, version: int, rate: int) -> int:
    """Bytes of a frame; 0 where its header does not say."""
    bits = 1000 * BIT_RATES[version][header >> 12 & 15]
    return bits and FRAME[version] // 8 * bits // rate + (header >> 9 & 1)
