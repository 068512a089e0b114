"""The chunk `fmt ` of WAV and W64 files, which says how samples are stored, repaired."""

import struct
from dataclasses import dataclass
from typing import IO

import numpy as np

from audiotag.audio.sample_format import EXTENSIBLE, FLOAT, LINEAR, PCM, SampleFormat
from audiotag.audio.sources import DecodeError, Span, read_at

AMBISONIC_GUID = bytes.fromhex("2107d3118644c8c1ca000000")  # its end; AMB files have it
GUID = bytes.fromhex("000000001000800000aa00389b71")
FMT, LONG_FMT = struct.Struct("<HHIIHH"), 40  # the chunk `fmt `, and its bytes with a GUID
LOOKED_AT = 2**16  # bytes of samples that show what they hold
LEAST_FLOAT, MOST_FLOAT = 1e-9, 8.0  # samples that floats have


@dataclass(frozen=True)
class Layout:
    """What the chunk `fmt ` of a WAV file says.

    Attributes:
        sound: How samples are stored.
        is_usual: Whether there was nothing to repair.
        is_ambisonic: Whether it is in Ambisonics' B-format.
        unused: Bytes of each sample that hold nothing.
    """

    sound: SampleFormat
    is_usual: bool
    is_ambisonic: bool
    unused: int = 0


def read_layout(data: bytes, is_big: bool) -> Layout | None:
    """What the chunk `fmt ` of a WAV file says, repaired; None if it says nothing that can be."""
    end = ">" if is_big else "<"
    if len(data) < FMT.size:
        return None
    said, channels, rate, second, block, bits = struct.unpack_from(f"{end}HHIIHH", data)
    code, is_usual, is_ambisonic, valid = said, True, False, bits
    if code == EXTENSIBLE and len(data) >= LONG_FMT:
        valid, _, code = struct.unpack_from(f"{end}HIH", data, FMT.size + 2)
        is_ambisonic = data[28:40] == AMBISONIC_GUID
        is_usual = data[26:40] == GUID or is_ambisonic
        code = code or PCM  # some write a GUID of zeros
    if not channels or not rate:
        return None
    if code not in LINEAR:
        sound = SampleFormat(said, channels, rate, 0, is_big, rest=data[8:])
        return Layout(sound, True, is_ambisonic)
    whole = block // channels if block % channels == 0 else 0
    is_agreed = bits == 8 * whole or (bits < 8 * whole and second == rate * block)
    width = whole if whole <= 8 and is_agreed else -(-bits // 8)
    if code == FLOAT and width not in (4, 8):
        if whole and bits == 8 * whole and second == rate * block:
            raise DecodeError(f"cannot be decoded (its samples are floats of {bits} bits)")
        width = 8 if bits > 32 else 4
    if not width:
        return None
    is_usual &= block == width * channels and bits == 8 * width
    unused = width - -(-valid // 8) if valid and code == PCM and not is_big else 0
    return Layout(SampleFormat(code, channels, rate, width, is_big), is_usual, is_ambisonic, unused)


def are_floats(file: IO[bytes], span: Span) -> bool:
    """Whether samples of four bytes, said to be integers, are floats within +18 dB of full scale.
    Of integers, a hundredth would seem so: those within 3 dB of half of full scale."""
    places = np.linspace(span.begin, max(span.begin, span.end - LOOKED_AT), 3).astype(int)
    places += (span.begin - places) % 4
    data = b"".join(read_at(file, place, min(LOOKED_AT, span.end - place)) for place in places)
    size = np.abs(np.frombuffer(data, "<f4", len(data) // 4))
    size = size[size != 0]
    plausible = np.count_nonzero((size > LEAST_FLOAT) & (size < MOST_FLOAT))
    return bool(len(size) and plausible > 0.99 * len(size))


def are_right_justified(file: IO[bytes], span: Span, width: int, unused: int) -> bool:
    """Whether samples fill the lower bytes of theirs, the others repeating the sign; they should
    fill the upper ones."""
    size = min(span.end - span.begin, LOOKED_AT) // width * width
    values = np.frombuffer(read_at(file, span.begin, size), np.uint8).reshape(-1, width)
    upper, lower = values[:, -unused:], values[:, :unused]
    sign = np.where(values[:, -unused - 1] >= 128, 255, 0)[:, None]
    return bool(lower.any() and (upper == sign).all())
