"""Chunks: the pieces that WAV, AIFF, CAF and W64 files are made of, and where their sound ends.

A chunk has a name, a size and content. The size of the chunk with the sound is often wrong: a
recorder crashed before it wrote the size, the file came through a pipe, or it outgrew 32 bits. So
the bytes after it are read. If chunks or tags follow, up to the end of the file, the size is right;
if other bytes follow, they are sound too.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from audiotag.audio.headers import TAG_HEADER, after_tag
from audiotag.audio.sources import read_at

W64_SUFFIX = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of most chunks' names
W64_LIST = bytes.fromhex("2fcf11a5d628db04c10000")
TAIL = 2**18  # bytes at the end of a file that hold its last chunks, where sizes do not tell
LOST = 2**20  # bytes searched for the next chunk after one that is damaged
ZEROS = 2**20  # bytes read at once to see whether there are only zeros
MOST_CHUNKS = 10_000  # in a file; one with more is not a recording
UNKNOWN = 2**16  # sizes so close to the most that a field can hold say nothing
WRAP = 2**32  # where sizes of 32 bits start again from 0
ID3V1, ID3V1_BYTES = b"TAG", 128  # a tag that ends the file
ID3V2 = b"ID3"
APE, APE_FOOTER = b"APETAGEX", struct.Struct("<8sIIII8x")  # mark, version, size, items, flags
HAS_HEADER = 1 << 31  # flag of an APE tag, whose size doesn't count that
LYRICS, LYRICS_END = b"LYRICSBEGIN", b"LYRICS200"  # before the end, a size of six digits
KNOWN = (
    b"fmt |data|LIST|list|fact|bext|cue |id3 |ID3 |smpl|inst|iXML|axml|chna|_PMX|PEAK|JUNK|junk|"
    b"FLLR|afsp|acid|strc|plst|umid|minf|elm1|regn|DISP|cart|levl|PAD |link|ds64|labl|slnt|"
    b"COMM|SSND|NAME|AUTH|ANNO|MARK|INST|APPL|COMT|CHAN|FVER|(?:\\(c\\) )|"
    b"desc|chan|info|free|uuid|strg|mark|midi|ovvw|peak|edct|kuki|pakt"
)
NAMES = re.compile(KNOWN)
W64_FILE = bytes.fromhex("726966662e91cf11a5d628db04c10000")
FILES = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"caff", W64_FILE)  # another file begins


@dataclass(frozen=True)
class Form:
    """How a format writes its chunks.

    Attributes:
        name_bytes: Bytes of a name.
        size: Layout of a size.
        align: Chunks begin at multiples of this number of bytes from the first.
        is_inclusive: Whether a size counts name and size too.
    """

    name_bytes: int
    size: struct.Struct
    align: int = 2
    is_inclusive: bool = False

    @property
    def header(self) -> int:
        """Bytes of name and size."""
        return self.name_bytes + self.size.size


RIFF = Form(4, struct.Struct("<I"))
BIG = Form(4, struct.Struct(">I"))  # RIFX and AIFF
CAF = Form(4, struct.Struct(">q"), align=1)
W64 = Form(16, struct.Struct("<q"), align=8, is_inclusive=True)


@dataclass(frozen=True)
class Chunk:
    """A chunk of a file.

    Attributes:
        name: Its first four bytes.
        begin: First byte of its content.
        size: Bytes of its content, by its header.
    """

    name: bytes
    begin: int
    size: int

    @property
    def end(self) -> int:
        """Byte after its content."""
        return self.begin + self.size

    def aligned_end(self, form: Form) -> int:
        """Byte that the next chunk should begin at."""
        counted = self.size + (form.header if form.is_inclusive else 0)
        return self.end + -counted % form.align


def is_known(size: int) -> bool:
    """Whether a size is one that its writer knew: what goes through a pipe has 0, -1, or the most
    that its field or its writer can hold."""
    bounds = (2**31, 2**32, 2**63)
    return size > 0 and not any(abs(size - bound) < UNKNOWN for bound in bounds)


def read_chunk(file: IO[bytes], form: Form, place: int) -> Chunk | None:
    """The chunk at a place; None if there is none."""
    head = read_at(file, place, form.header)
    if len(head) < form.header or not _is_name(head[: form.name_bytes]):
        return None
    (size,) = form.size.unpack(head[form.name_bytes :])
    size -= form.header if form.is_inclusive else 0
    return Chunk(head[:4], place + form.header, size)


def _is_name(name: bytes) -> bool:
    is_text = all(32 <= byte < 127 for byte in name[:4]) and name[:4].strip() != b""
    return is_text and (len(name) == 4 or name.endswith((W64_SUFFIX, W64_LIST)))


def after(file: IO[bytes], form: Form, chunk: Chunk, total: int) -> int | None:
    """Where the chunk after this one begins, or the end of the file: the pad byte after an odd size
    may be missing, or be one too many. None if nothing of the kind is there."""
    for place in dict.fromkeys((chunk.aligned_end(form), chunk.end, chunk.end + 1)):
        if place >= total or begins(file, form, place, total):
            return min(place, total)
    return None


def begins(file: IO[bytes], form: Form, place: int, total: int) -> bool:
    """Whether a chunk, a tag or another file begins at a place; the chunk must fit into the file or
    have a usual name."""
    chunk = read_chunk(file, form, place)
    if is_file(file, place) or _is_tag(read_at(file, place, 12), total - place):
        return True
    if chunk is None:
        return False
    return 0 <= chunk.size <= total - chunk.begin or NAMES.fullmatch(chunk.name) is not None


def is_file(file: IO[bytes], place: int) -> bool:
    """Whether another file begins at a place."""
    return read_at(file, place, len(W64_FILE)).startswith(FILES)


def next_known(file: IO[bytes], place: int, names: bytes) -> int | None:
    """Where the next chunk of some names (a regular expression) is, after one that is damaged."""
    found = re.search(names, read_at(file, place, LOST))
    return None if found is None else place + found.start()


def is_tail(file: IO[bytes], form: Form, place: int, total: int) -> bool:
    """Whether only chunks, tags and other files follow, up to the end of the file."""
    for _ in range(MOST_CHUNKS):
        if place >= total:
            return True
        head = read_at(file, place, 12)
        if is_file(file, place) or _is_tag(head, total - place):
            return True
        chunk = read_chunk(file, form, place)
        if chunk is None:
            return total - place < form.header and not any(head)
        if not chunk.begin <= chunk.end <= total:
            return NAMES.fullmatch(chunk.name) is not None
        following = after(file, form, chunk, total)
        if following is None:
            return zeros(file, chunk.end, min(total, chunk.end + ZEROS))
        place = following
    return False


def _is_tag(head: bytes, left: int) -> bool:
    """Whether a tag begins, `left` bytes before the end of the file."""
    if head.startswith(ID3V1):
        return left == ID3V1_BYTES
    if head.startswith(ID3V2):
        return len(head) > 9 and head[3] < 16 and all(byte < 128 for byte in head[6:10])
    return head.startswith((APE, LYRICS))


def tail_begin(file: IO[bytes], form: Form, first: int, total: int) -> int:
    """Where the last chunks and tags begin, in a file whose sound begins at `first` and has no
    known end; `total` if there are none."""
    begin = max(first, total - TAIL)
    tail = read_at(file, begin, total - begin)
    for found in NAMES.finditer(tail):
        place = begin + found.start()
        chunk = read_chunk(file, form, place)
        fits = chunk is not None and 0 < chunk.size <= total - chunk.begin
        if fits and is_tail(file, form, place, total):
            return place
    return begin + tags_begin(tail)


def tags_begin(tail: bytes) -> int:
    """Where the tags at the end of a file begin, ID3v1, Lyrics3 and APE."""
    if tail[-ID3V1_BYTES:].startswith(ID3V1) and len(tail) >= ID3V1_BYTES:
        tail = tail[:-ID3V1_BYTES]
    appended = tail.rfind(ID3V2)
    if appended >= 0 and after_tag(tail[appended:][:TAG_HEADER]) == len(tail) - appended:
        tail = tail[:appended]
    if tail.endswith(LYRICS_END) and tail[-15:-9].isdigit():
        tail = tail[: max(0, len(tail) - 15 - int(tail[-15:-9]))]
    footer = tail[-APE_FOOTER.size :]
    if footer.startswith(APE) and len(footer) == APE_FOOTER.size:
        _, _, size, _, flags = APE_FOOTER.unpack(footer)
        whole = size + (APE_FOOTER.size if flags & HAS_HEADER else 0)
        tail = tail[: max(0, len(tail) - whole)]
    return len(tail)


def zeros(file: IO[bytes], begin: int, end: int) -> bool:
    """Whether there are only zeros."""
    return not any(
        any(read_at(file, place, min(ZEROS, end - place)).lstrip(b"\0"))
        for place in range(begin, end, ZEROS)
    )


def contents(file: IO[bytes], chunks: list[Chunk], names: tuple[bytes, ...]) -> Iterator[bytes]:
    """The contents of the chunks with these names."""
    for chunk in chunks:
        if chunk.name in names:
            yield read_at(file, chunk.begin, min(chunk.size, LOST))
