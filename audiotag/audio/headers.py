"""The length of a FLAC or MP3 file to the sample, as its first bytes give it."""

import struct
from dataclasses import dataclass
from typing import IO

FLAC_MARK = b"fLaC"
STREAMINFO = slice(18, 26)  # FLAC's rate, channels, bits of a sample and samples, 20, 3, 5, 36 bits
TAG_HEADER = 10  # bytes of an ID3v2 tag before those that its size counts
TAG_FOOTER = 0x10  # flag of as many bytes after them
# MPEG audio's versions, by their two bits in a frame's header.
MPEG_1, MPEG_2, MPEG_25 = 3, 2, 0
RATES = {MPEG_1: (44_100, 48_000, 32_000), MPEG_2: (22_050, 24_000, 16_000)}
RATES[MPEG_25] = (11_025, 12_000, 8_000)
LAYER_3 = 1
MARKS = (b"Xing", b"Info")  # of the variable and the constant bit rate
ALL_FIELDS = 0xF
ENCODERS = (b"LAME", b"Lavf", b"Lavc")  # that add the delay and the padding
FIRST_FRAME = 192  # bytes of the first frame that hold all of this


@dataclass(frozen=True)
class Announced:
    """What a file's header says of its audio.

    Attributes:
        begin: Byte that the audio begins at, after tags.
        size: Bytes of the audio; None where the header does not say.
        rate: Sample rate in Hz.
        channels: Number of channels.
        count: Samples of each channel.
    """

    begin: int
    size: int | None
    rate: int
    channels: int
    count: int


def read_announced(file: IO[bytes]) -> Announced | None:
    """What the header of a FLAC or MP3 file says; None for other formats, and where it does not say
    how long the file is."""
    head = file.read(STREAMINFO.stop)
    if head.startswith(FLAC_MARK):
        return _of_flac(head)
    begin = _after_tag(head)
    file.seek(begin)
    return _of_mp3(file.read(FIRST_FRAME), begin)


def _of_flac(head: bytes) -> Announced | None:
    if len(head) < STREAMINFO.stop:
        return None
    form = int.from_bytes(head[STREAMINFO], "big")
    count = form & (1 << 36) - 1  # 0 where it was not known
    return Announced(0, None, form >> 44, (form >> 41 & 7) + 1, count) if count else None


def _after_tag(head: bytes) -> int:
    """Number of the byte after an ID3v2 tag, whose size is written in bytes of seven bits."""
    if not head.startswith(b"ID3") or len(head) < TAG_HEADER:
        return 0
    size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return TAG_HEADER + size + (TAG_HEADER if head[5] & TAG_FOOTER else 0)


def _of_mp3(frame: bytes, begin: int) -> Announced | None:
    """What the first frame says, where it is one without sound that holds "Xing" or "Info" and
    LAME's fields."""
    if len(frame) < FIRST_FRAME:
        return None
    header = int.from_bytes(frame[:4], "big")
    version, layer, unprotected = header >> 19 & 3, header >> 17 & 3, header >> 16 & 1
    rate, mode = header >> 10 & 3, header >> 6 & 3
    is_known = layer == LAYER_3 and unprotected and version in RATES and rate < 3
    if header >> 21 != 0x7FF or not is_known:
        return None
    channels = 1 if mode == 3 else 2
    side = (17, 32) if version == MPEG_1 else (9, 17)
    fields = frame[4 + side[channels - 1] :]
    mark, flags, frames, size = struct.unpack(">4sIII", fields[:16])
    if mark not in MARKS or flags & ALL_FIELDS != ALL_FIELDS or fields[120:124] not in ENCODERS:
        return None
    gaps = int.from_bytes(fields[141:144], "big")
    count = frames * (1152 if version == MPEG_1 else 576) - (gaps >> 12) - (gaps & 0xFFF)
    return Announced(begin, size, RATES[version][rate], channels, count) if count > 0 else None
