"""Uncompressed files whose headers are wrong, as files whose headers are right.

WAV (RIFF, RIFX, RF64, BW64), W64, AIFF, AU and CAF. The repaired file is a WAV or AU header and
spans of the real one, so that the decoders read it as any other.
"""

import re
import struct
from dataclasses import dataclass, field, replace
from typing import IO

import numpy as np

from audiotag.audio.chunks import (
    BIG,
    CAF,
    MOST_CHUNKS,
    RIFF,
    W64,
    W64_FILE,
    WRAP,
    Chunk,
    Form,
    after,
    contents,
    is_file,
    is_tail,
    next_known,
    read_chunk,
    tail_begin,
    zeros,
)
from audiotag.audio.helper_process import Warn
from audiotag.audio.sources import NO_SAMPLES, DecodeError, Pieces, Readable, Source, Span, read_at

PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
LINEAR = (PCM, FLOAT, ALAW, MULAW)
AMBISONIC_GUID = bytes.fromhex("2107d3118644c8c1ca000000")  # its end; AMB files have it
GUID = bytes.fromhex("000000001000800000aa00389b71")
B_FORMAT = re.compile(rb"ambi-?x|ambisonic|b-format|\bfuma\b", re.IGNORECASE)
ORDERS = (4, 9, 16, 25, 36)  # channels of Ambisonics
LAYOUTS = (b"fmt ", b"COMM", b"desc")  # chunks that say how samples are stored
TEXTS = (b"bext", b"iXML", b"LIST")  # chunks that say so
AU_CODES = {(MULAW, 1): 1, (PCM, 1): 2, (PCM, 2): 3, (PCM, 3): 4, (PCM, 4): 5, (FLOAT, 4): 6}
AU_CODES |= {(FLOAT, 8): 7, (ALAW, 1): 27}
AU_WIDTHS = {code: width for (_, width), code in AU_CODES.items()}
FMT, LONG_FMT = struct.Struct("<HHIIHH"), 40  # the chunk `fmt `, and its bytes with a GUID
LOOKED_AT = 2**16  # bytes of samples that show which of theirs hold nothing
SOME = 0.001  # s of sound that are worth a warning
AU_MARKS = (b".snd", b"dns.")
AU_UNKNOWN = 0xFFFFFFFF  # size of data that goes on to the end of the file
AIFC_CODES = {b"NONE": PCM, b"twos": PCM, b"sowt": PCM, b"fl32": FLOAT, b"FL32": FLOAT}
AIFC_CODES |= {b"fl64": FLOAT, b"FL64": FLOAT, b"alaw": ALAW, b"ulaw": MULAW}


@dataclass(frozen=True)
class Sound:
    """How samples are stored.

    Attributes:
        code: As in WAV files.
        channels: Their number.
        rate: Hz.
        width: Bytes of a sample; 0 where samples have no size of their own.
        is_big: Whether the byte that counts most comes first.
        is_signed: Whether samples of one byte have a sign, which they have not in WAV files.
        rest: What a WAV header says besides, where samples have no size of their own.
    """

    code: int
    channels: int
    rate: int
    width: int
    is_big: bool = False
    is_signed: bool = False
    rest: bytes = b""

    @property
    def second(self) -> int:
        """Bytes of a second."""
        if self.width:
            return self.width * self.channels * self.rate
        return struct.unpack_from(">I" if self.is_big else "<I", self.rest)[0]

    def wav(self, size: int) -> bytes:
        """Header of a WAV file with `size` bytes of samples."""
        end = ">" if self.is_big else "<"
        fields = struct.pack(f"{end}HHI", self.code, self.channels, self.rate)
        if self.width:
            block = self.width * self.channels
            fields += struct.pack(f"{end}IHH", block * self.rate, block, 8 * self.width)
        fields += self.rest
        layout = b"fmt " + struct.pack(f"{end}I", len(fields)) + fields
        total = 4 + len(layout) + 8 + size
        if total < WRAP:
            mark = b"RIFX" if self.is_big else b"RIFF"
            head = mark + struct.pack(f"{end}I", total) + b"WAVE"
            return head + layout + b"data" + struct.pack(f"{end}I", size)
        sizes = b"ds64" + struct.pack("<IQQQI", 28, total + 36, size, 0, 0)
        head = b"RF64\xff\xff\xff\xffWAVE" + sizes + layout
        return head + b"data\xff\xff\xff\xff"

    def au(self) -> bytes:
        """Header of an AU file that goes on to its end."""
        fields = (24, AU_UNKNOWN, AU_CODES[self.code, self.width], self.rate, self.channels)
        return b".snd" + struct.pack(">5I", *fields)

    @property
    def is_au(self) -> bool:
        """Whether an AU file holds such samples; WAV files have other bytes, and longs in RF64."""
        is_unsigned = (self.code, self.width) == (PCM, 1) and not self.is_signed
        is_known = (self.code, self.width) in AU_CODES
        return is_known and not is_unsigned and (self.is_big or self.is_signed)


@dataclass(frozen=True)
class Part:
    """A file, or what is left of it, that is decoded on its own.

    Attributes:
        source: What decoders get.
        is_ambisonic: Whether the first channel holds sound from everywhere.
        following: Byte that another file begins at, in the same file; None if none does.
    """

    source: Readable
    is_ambisonic: bool = False
    following: int | None = None


@dataclass(frozen=True)
class _Layout:
    """What the chunk `fmt ` of a WAV file says.

    Attributes:
        sound: How samples are stored.
        is_usual: Whether there was nothing to repair.
        is_ambisonic: Whether it is in Ambisonics' B-format.
        unused: Bytes of each sample that hold nothing.
    """

    sound: Sound
    is_usual: bool
    is_ambisonic: bool
    unused: int = 0


@dataclass
class _Read:
    """What has been read of a file's chunks.

    Attributes:
        total: Bytes of the file.
        chunks: All but those of samples.
        spans: Where samples are.
        is_right: Whether decoders that know nothing of this read it in the same way.
        following: Byte that another file begins at.
        beyond: Bytes that were taken for samples, though no size covers them.
        left: Bytes of zeros after the samples that were left out.
        lead: Bytes to put before the samples.
    """

    total: int
    chunks: list[Chunk] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    is_right: bool = True
    following: int | None = None
    beyond: int = 0
    left: int = 0
    lead: bytes = b""


def read_uncompressed(
    file: IO[bytes], source: Source, begin: int, total: int, warn: Warn
) -> Part | None:
    """The uncompressed file that begins at a byte, repaired where it has to be.

    Args:
        file: The file.
        source: The same, for the decoders.
        begin: The byte.
        total: Bytes of the file.
        warn: Told where it cannot be decided how far the sound goes.

    Returns:
        None if it is of another format, or compressed, or if its header has numbers that no header
        can be written with.

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
        read = _read_wav(file, begin, total, head)
        return _wave_part(file, source, read, head.startswith(b"RIFX"), begin, warn)
    if head.startswith(W64_FILE) and head[24:28] == b"wave":
        read = _read(file, W64, begin + 40, total, b"data")
        return _wave_part(file, source, read, False, begin, warn)
    if head[8:12] in (b"AIFF", b"AIFC") and head.startswith(b"FORM"):
        read = _read(file, BIG, begin + 12, total, b"SSND")
        return _part(source, read, _aiff_sound(file, read), begin, warn)
    if head.startswith(b"caff"):
        read = _read(file, CAF, begin + 8, total, b"data")
        return _part(source, read, _caf_sound(file, read), begin, warn)
    if head.startswith(AU_MARKS):
        return _au_part(file, source, begin, total, warn)
    return None


def _read_wav(file: IO[bytes], begin: int, total: int, head: bytes) -> _Read:
    form = BIG if head.startswith(b"RIFX") else RIFF
    is_long = head[12:16] == b"ds64"
    long = struct.unpack_from("<Q", head, 28)[0] if is_long and len(head) > 36 else None
    (size,) = form.size.unpack(head[4:8])
    read = _read(file, form, begin + 12, total, b"data", long)
    end = max((span.end for span in read.spans), default=0)
    read.is_right &= begin + 8 + size >= end if long is None else long <= total
    return read


def _read(
    file: IO[bytes], form: Form, place: int, total: int, data: bytes, long: int | None = None
) -> _Read:
    """Read the chunks from a place on.

    Args:
        file: The file.
        form: How it writes them.
        place: The place.
        total: Bytes of the file.
        data: Name of the chunk that holds samples.
        long: Its size, where it is written elsewhere.
    """
    read = _Read(total)
    for _ in range(MOST_CHUNKS):
        if place >= total:
            break
        if read.spans and is_file(file, place):
            read.following = place
            break
        chunk = read_chunk(file, form, place)
        if chunk is not None and chunk.name == data:
            size = chunk.size if long is None else long
            place = _read_samples(file, form, Chunk(data, chunk.begin, size), total, read)
            continue
        following = None
        if chunk is not None:
            read.chunks.append(chunk)
            read.is_right &= not (read.spans and chunk.name in LAYOUTS)
            if 0 <= chunk.size <= total - chunk.begin:
                following = after(file, form, chunk, total)
                read.is_right &= following in (None, total, chunk.aligned_end(form))
        if following is None:
            if read.spans:
                break
            read.is_right = False
            following = next_known(file, place + 1, data)
        if following is None:
            break
        place = following
    return read


def _read_samples(file: IO[bytes], form: Form, chunk: Chunk, total: int, read: _Read) -> int:
    """Find where the samples of a chunk end; gives the place after them."""
    is_said = chunk.size > 0 or (chunk.size == 0 and is_tail(file, form, chunk.begin, total))
    if is_said and chunk.end <= total:
        following = after(file, form, chunk, total)
        if following is not None and is_tail(file, form, following, total):
            read.spans.append(Span(chunk.begin, chunk.end))
            read.is_right &= following in (total, chunk.aligned_end(form))
            return following
        read.is_right = False
        left = total - chunk.end
        if left < WRAP // 2 and zeros(file, chunk.end, total):
            read.spans.append(Span(chunk.begin, chunk.end))
            read.left += left
            return total
        end = tail_begin(file, form, chunk.end, total)
        read.beyond += end - chunk.end
    else:
        end = tail_begin(file, form, chunk.begin, total)
        read.is_right &= end == total and chunk.size > 0
    read.spans.append(Span(chunk.begin, end))
    return end


def _wave_part(
    file: IO[bytes], source: Source, read: _Read, is_big: bool, begin: int, warn: Warn
) -> Part | None:
    """A WAV or W64 file."""
    chunks = list(contents(file, read.chunks, (b"fmt ",)))
    layouts = [found for data in chunks if (found := _layout(data, is_big)) is not None]
    if not layouts:
        return None
    layout, sound = layouts[0], layouts[0].sound
    texts = contents(file, read.chunks, TEXTS) if sound.channels in ORDERS else iter(())
    is_ambisonic = layout.is_ambisonic or any(B_FORMAT.search(text) for text in texts)
    read.is_right &= layout.is_usual and len(chunks) == 1 and len(read.spans) == 1
    if layout.unused and len(read.spans) == 1:
        (span,) = read.spans
        if _are_right_justified(file, span, sound.width, layout.unused):
            read.spans = [replace(span, end=span.end - layout.unused)]
            read.lead, read.is_right = bytes(layout.unused), False
    part = _part(source, read, sound, begin, warn)
    return replace(part, is_ambisonic=is_ambisonic)


def _part(source: Source, read: _Read, sound: Sound | None, begin: int, warn: Warn) -> Part:
    """What decoders are to read of a file."""
    size = len(read.lead) + sum(span.end - span.begin for span in read.spans)
    if size <= 0:
        raise DecodeError(NO_SAMPLES)
    if sound is None or read.is_right:
        return Part(cut_out(source, begin, read.following, read.total), following=read.following)
    _warn_of_sizes(read, sound.second, warn)
    head = sound.au() if sound.is_au else sound.wav(size)
    return Part(Pieces(source, (head + read.lead, *read.spans)), following=read.following)


def cut_out(source: Source, begin: int, end: int | None, total: int) -> Readable:
    """The file that begins and ends at a byte of another; the other itself where it is all."""
    if begin == 0 and end is None:
        return source
    return Pieces(source, (Span(begin, total if end is None else end),))


def _warn_of_sizes(read: _Read, second: int, warn: Warn) -> None:
    """Say how much sound no size covers, `second` bytes being one second."""
    for size, what in ((read.beyond, "sound"), (read.left, "zeros")):
        if size >= SOME * second:
            heard = "is heard too" if what == "sound" else "was left out"
            seconds = size / max(1, second)
            length = f"{seconds:.{1 if seconds >= 1 else 3}f} s of {what}"
            warn(f"holds {length} after the end that its header gives, which {heard}")


def _layout(data: bytes, is_big: bool) -> _Layout | None:
    """What the chunk `fmt ` of a WAV file says, repaired; None if it says nothing that can be."""
    end = ">" if is_big else "<"
    if len(data) < FMT.size:
        return None
    code, channels, rate, second, block, bits = struct.unpack_from(f"{end}HHIIHH", data)
    is_usual, is_ambisonic, valid = True, False, bits
    if code == EXTENSIBLE and len(data) >= LONG_FMT:
        valid, _, code = struct.unpack_from(f"{end}HIH", data, FMT.size + 2)
        is_ambisonic = data[28:40] == AMBISONIC_GUID
        is_usual = data[26:40] == GUID or is_ambisonic
        code = code or PCM  # some write a GUID of zeros
    if not channels or not rate:
        return None
    if code not in LINEAR:
        sound = Sound(code, channels, rate, 0, is_big, rest=data[8:])
        return _Layout(sound, is_usual, is_ambisonic)
    whole = block // channels if block % channels == 0 else 0
    is_agreed = bits == 8 * whole or (bits < 8 * whole and second == rate * block)
    width = whole if whole <= 8 and is_agreed else -(-bits // 8)
    if code == FLOAT and width not in (4, 8):
        width = 8 if bits > 32 else 4
    if not width:
        return None
    is_usual &= block == width * channels and bits == 8 * width
    unused = width - -(-valid // 8) if valid and code == PCM and not is_big else 0
    return _Layout(Sound(code, channels, rate, width, is_big), is_usual, is_ambisonic, unused)


def _are_right_justified(file: IO[bytes], span: Span, width: int, unused: int) -> bool:
    """Whether samples fill the lower bytes of theirs, the others repeating the sign; they should
    fill the upper ones."""
    size = min(span.end - span.begin, LOOKED_AT) // width * width
    values = np.frombuffer(read_at(file, span.begin, size), np.uint8).reshape(-1, width)
    upper, lower = values[:, -unused:], values[:, :unused]
    sign = np.where(values[:, -unused - 1] >= 128, 255, 0)[:, None]
    return bool(lower.any() and (upper == sign).all())


def _aiff_sound(file: IO[bytes], read: _Read) -> Sound | None:
    """What an AIFF file says; its samples begin after two fields of the chunk that holds them."""
    data = next(contents(file, read.chunks, (b"COMM",)), b"")
    spans = [replace(span, begin=span.begin + _offset(file, span)) for span in read.spans]
    read.spans = [span for span in spans if span.begin < span.end]
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
    return Sound(code, channels, rate, width, is_big, width == 1 and code == PCM)


def _offset(file: IO[bytes], span: Span) -> int:
    fields = read_at(file, span.begin, 8)
    return 8 + int.from_bytes(fields[:4], "big") if len(fields) == 8 else 8


def _extended(data: bytes) -> int:
    """A rate in Hz, written as a floating-point number of 80 bits."""
    exponent = int.from_bytes(data[:2], "big") & 0x7FFF
    shift = 16_383 + 63 - exponent
    return int.from_bytes(data[2:], "big") >> shift if 0 <= shift < 64 else 0


def _caf_sound(file: IO[bytes], read: _Read) -> Sound | None:
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
    return Sound(code, channels, int(rate), width, not flags & 2, width == 1 and code == PCM)


def _au_part(file: IO[bytes], source: Source, begin: int, total: int, warn: Warn) -> Part | None:
    """An AU file: a header, samples, and nothing after them."""
    head = read_at(file, begin, 24)
    if len(head) < 24:
        return None
    end = ">" if head.startswith(b".snd") else "<"
    offset, size, code, rate, channels = struct.unpack(f"{end}5I", head[4:])
    first = begin + offset
    last = first + size
    read = _Read(total)
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
    is_usual = size == AU_UNKNOWN or size == last - first
    if is_usual and last == (read.following or total):
        return Part(cut_out(source, begin, read.following, total), following=read.following)
    _warn_of_sizes(read, channels * rate * AU_WIDTHS.get(code, 1), warn)
    repaired = head[:4] + struct.pack(f"{end}5I", 24, AU_UNKNOWN, code, rate, channels)
    return Part(Pieces(source, (repaired, Span(first, last))), following=read.following)
