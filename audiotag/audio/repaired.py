"""Uncompressed files with wrong headers, read as files with right headers.

The formats are WAV (RIFF, RIFX, RF64, BW64), W64, AIFF, AU and CAF. The repaired file consists of a
WAV or AU header and spans of the real file, so that decoders can read it as any other.
"""

import struct
from dataclasses import dataclass, replace
from typing import IO

from audiotag.audio.ambisonics import ORDERS, is_named_ambisonic, is_said_ambisonic
from audiotag.audio.chunks import (
    BIG,
    CAF,
    W64,
    W64_FILE,
    WRAP,
    contents,
    is_known,
    is_tail,
    tail_begin,
    zeros,
)
from audiotag.audio.cut_short import LEAST_MISSING, MISSING_PART
from audiotag.audio.helper_process import Warn
from audiotag.audio.sample_format import (
    ALAW,
    AU_CODES,
    AU_UNKNOWN,
    AU_WIDTHS,
    FLOAT,
    MULAW,
    PCM,
    SampleFormat,
)
from audiotag.audio.sound_chunks import SoundChunks, read_chunks, read_wav
from audiotag.audio.sources import NO_SAMPLES, DecodeError, Pieces, Readable, Source, Span, read_at
from audiotag.audio.wav_layout import are_floats, are_right_justified, read_layout

TEXTS = (b"bext", b"iXML", b"LIST")  # chunks that describe a recording
SOME = 0.001  # s of sound that are worth a warning
AU_MARKS = (b".snd", b"dns.")
AIFC_CODES = {b"NONE": PCM, b"twos": PCM, b"sowt": PCM, b"fl32": FLOAT, b"FL32": FLOAT}
AIFC_CODES |= {b"fl64": FLOAT, b"FL64": FLOAT, b"alaw": ALAW, b"ulaw": MULAW}


@dataclass(frozen=True)
class Part:
    """A file, or what is left of it, that is decoded on its own.

    Attributes:
        source: The source for decoders.
        is_ambisonic: Whether the first channel holds sound from everywhere.
        following: First byte of another file after it in the same file; None if there is none.
    """

    source: Readable
    is_ambisonic: bool = False
    following: int | None = None


def read_uncompressed(
    file: IO[bytes], source: Source, begin: int, total: int, warn: Warn
) -> Part | None:
    """The uncompressed file that begins at a byte, repaired if needed.

    Args:
        file: The file.
        source: The same, for the decoders.
        begin: The byte.
        total: Bytes of the file.
        warn: Called if it is doubtful where the sound ends.

    Returns:
        None if it has another format or is compressed, or if the numbers in its header do not fit
        into a new header.

    Raises:
        DecodeError: There are no samples in it.
    """
    try:
        return _read_uncompressed(file, source, begin, total, warn)
    except struct.error:
        return None


def _read_uncompressed(
    file: IO[bytes], source: Source, begin: int, total: int, warn: Warn
) -> Part | None:
    head = read_at(file, begin, 40)
    if head[8:12] == b"WAVE" and head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        read = read_wav(file, begin, total, head)
        return _wave_part(file, source, read, head.startswith(b"RIFX"), begin, warn)
    if head.startswith(W64_FILE) and head[24:28] == b"wave":
        read = read_chunks(file, W64, begin + 40, total, b"data")
        (size,) = W64.size.unpack(head[16:24])
        read.is_right &= size > 0  # FFmpeg refuses one that came through its own pipe
        return _wave_part(file, source, read, False, begin, warn)
    if head[8:12] in (b"AIFF", b"AIFC") and head.startswith(b"FORM"):
        read = read_chunks(file, BIG, begin + 12, total, b"SSND")
        return _part(source, read, _aiff_sound(file, read), begin, warn)
    if head.startswith(b"caff"):
        read = read_chunks(file, CAF, begin + 8, total, b"data")
        return _part(source, read, _caf_sound(file, read), begin, warn)
    if head.startswith(AU_MARKS):
        return _au_part(file, source, begin, total, warn)
    return None


def _wave_part(
    file: IO[bytes], source: Source, read: SoundChunks, is_big: bool, begin: int, warn: Warn
) -> Part | None:
    """A WAV or W64 file."""
    chunks = list(contents(file, read.chunks, (b"fmt ",)))
    layouts = [found for data in chunks if (found := read_layout(data, is_big)) is not None]
    if not layouts:
        return None
    layout, sound = layouts[0], layouts[0].sound
    texts = contents(file, read.chunks, TEXTS) if sound.channels in ORDERS else iter(())
    is_ambisonic = layout.is_ambisonic or is_named_ambisonic(source) or is_said_ambisonic(texts)
    read.is_right &= layout.is_usual and len(chunks) == 1 and len(read.spans) == 1
    if layout.unused and len(read.spans) == 1:
        (span,) = read.spans
        if are_right_justified(file, span, sound.width, layout.unused):
            read.spans = [replace(span, end=span.end - layout.unused)]
            read.lead, read.is_right = bytes(layout.unused), False
    is_integer = (sound.code, sound.width, sound.is_big) == (PCM, 4, False)
    if is_integer and read.spans and are_floats(file, read.spans[0]):
        warn("holds floating-point samples, though its header says integers")
        sound, read.is_right = replace(sound, code=FLOAT), False
    part = _part(source, read, sound, begin, warn)
    return replace(part, is_ambisonic=is_ambisonic)


def _part(
    source: Source, read: SoundChunks, sound: SampleFormat | None, begin: int, warn: Warn
) -> Part:
    """What decoders are to read of a file."""
    size = len(read.lead) + sum(span.end - span.begin for span in read.spans)
    if size <= 0:
        raise DecodeError(NO_SAMPLES)
    _warn_of_missing(read, 0 if sound is None else sound.second, size, warn)
    if sound is None or read.is_right:
        return Part(cut_out(source, begin, read.following, read.total), following=read.following)
    _warn_of_sizes(read, sound.second, warn)
    head = sound.au() if sound.is_au else sound.wav(size)
    return Part(Pieces(source, (head + read.lead, *read.spans)), following=read.following)


def cut_out(source: Source, begin: int, end: int | None, total: int) -> Readable:
    """The file between two bytes of another one; the other one itself if that is all of it."""
    if begin == 0 and end is None:
        return source
    return Pieces(source, (Span(begin, total if end is None else end),))


def _warn_of_sizes(read: SoundChunks, second: int, warn: Warn) -> None:
    """Say how much sound no size covers, `second` bytes being one second."""
    for size, what in ((read.beyond, "sound"), (read.left, "zeros")):
        if size >= SOME * second:
            heard = "is heard too" if what == "sound" else "was left out"
            seconds = size / max(1, second)
            length = f"{seconds:.{1 if seconds >= 1 else 3}f} s of {what}"
            warn(f"holds {length} after the end that its header gives, which {heard}")


def _warn_of_missing(read: SoundChunks, second: int, size: int, warn: Warn) -> None:
    """Say how much sound is missing of what a size announces, if it is more than padding; `size`
    bytes are there, and `second` are a second, or 0 if that is not known."""
    if read.missing > max(LEAST_MISSING, MISSING_PART * size):
        part = f"{read.missing / (size + read.missing):.0%}"
        length = f", {read.missing / second:.1f} s," if second else ""
        warn(f"is cut short: {part}{length} of what its header announces is missing")


def _aiff_sound(file: IO[bytes], read: SoundChunks) -> SampleFormat | None:
    """What an AIFF file says; its samples begin after two fields of the chunk that holds them."""
    data = next(contents(file, read.chunks, (b"COMM",)), b"")
    read.spans = [
        _after_fields(file, span, read) for span in read.spans if span.end > span.begin + 8
    ]
    if len(data) < 18:
        return None
    channels, frames, bits = struct.unpack_from(">hIh", data)
    code = AIFC_CODES.get(data[18:22] or b"NONE")
    rate = _extended(data[8:18])
    width = -(-bits // 8) if code != MULAW and code != ALAW else 1
    if code is None or channels < 1 or (code, width) not in AU_CODES:
        return None
    size = sum(span.end - span.begin for span in read.spans)
    read.is_right &= frames == size // (width * channels) and len(read.spans) == 1
    is_big = data[18:22] != b"sowt"
    return SampleFormat(code, channels, rate, width, is_big, width == 1 and code == PCM)


def _after_fields(file: IO[bytes], span: Span, read: SoundChunks) -> Span:
    """The samples of a chunk `SSND`; an offset to beyond them is a damaged one."""
    begin = span.begin + 8 + int.from_bytes(read_at(file, span.begin, 4), "big")
    if begin < span.end:
        return replace(span, begin=begin)
    read.is_right = False
    return replace(span, begin=span.begin + 8)


def _extended(data: bytes) -> int:
    """A rate in Hz, written as a floating-point number of 80 bits."""
    exponent = int.from_bytes(data[:2], "big") & 0x7FFF
    shift = 16_383 + 63 - exponent
    return int.from_bytes(data[2:], "big") >> shift if 0 <= shift < 64 else 0


def _caf_sound(file: IO[bytes], read: SoundChunks) -> SampleFormat | None:
    """What a CAF file says; its samples begin after the number of its edits."""
    data = next(contents(file, read.chunks, (b"desc",)), b"")
    read.spans = [replace(span, begin=span.begin + 4) for span in read.spans]
    if len(data) < 32:
        return None
    rate, form, flags, _, _, channels, bits = struct.unpack_from(">d4s5I", data)
    code = {b"lpcm": FLOAT if flags & 1 else PCM, b"alaw": ALAW, b"ulaw": MULAW}.get(form)
    width = 1 if code in (ALAW, MULAW) else -(-bits // 8)
    if code is None or not 0 < rate < WRAP or (code, width) not in AU_CODES:
        return None
    return SampleFormat(code, channels, int(rate), width, not flags & 2, width == 1 and code == PCM)


def _au_part(file: IO[bytes], source: Source, begin: int, total: int, warn: Warn) -> Part | None:
    """An AU file: a header, samples, and nothing after them."""
    head = read_at(file, begin, 24)
    if len(head) < 24:
        return None
    end = ">" if head.startswith(b".snd") else "<"
    offset, size, code, rate, channels = struct.unpack(f"{end}5I", head[4:])
    first = begin + offset
    last = first + size
    read = SoundChunks(total, missing=max(0, last - total) if is_known(size) else 0)
    if size in (0, AU_UNKNOWN) or last > total:
        last = tail_begin(file, BIG, first, total)
    elif read_at(file, last, 4) in AU_MARKS:
        read.following = last
    elif zeros(file, last, total):
        read.left = total - last
    elif not is_tail(file, BIG, last, total):
        read.beyond = tail_begin(file, BIG, last, total) - last
    last += read.beyond
    if last <= first:
        raise DecodeError(NO_SAMPLES)
    second = channels * rate * AU_WIDTHS.get(code, 1)
    _warn_of_missing(read, second, last - first, warn)
    is_usual = size == AU_UNKNOWN or size == last - first
    if is_usual and last == (read.following or total):
        return Part(cut_out(source, begin, read.following, total), following=read.following)
    _warn_of_sizes(read, second, warn)
    repaired = head[:4] + struct.pack(f"{end}5I", 24, AU_UNKNOWN, code, rate, channels)
    return Part(Pieces(source, (repaired, Span(first, last))), following=read.following)
