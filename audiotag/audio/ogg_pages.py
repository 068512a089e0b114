"""The pages of an Ogg file (RFC 3533): whether all are there, and whole."""

import struct
from dataclasses import dataclass
from typing import IO

from audiotag.audio.sources import read_at

OGG_MARK = b"OggS"
PAGE = struct.Struct("<4sBBqIIIB")  # mark, version, kind, time, stream, number, CRC, segments
LAST = 4  # flag of the last page of a stream
READ = 2**17  # bytes read at once, twice as many as a page has at most
MOST_PAGES = 10_000_000  # of a file; days of sound have less


@dataclass
class Pages:
    """What the pages of a file show.

    Attributes:
        lost: Numbers that are missing between those of pages of a stream.
        has_end: Whether a page says that it is the last of its stream.
        is_cut: Whether the last page is not there as a whole.
    """

    lost: int = 0
    has_end: bool = False
    is_cut: bool = False


def read_pages(file: IO[bytes], begin: int, total: int) -> Pages:
    """Read the headers of all pages, up to something else.

    Args:
        file: The file.
        begin: First byte of a page.
        total: Byte after the last of the file.
    """
    pages, numbers = Pages(), dict[int, int]()
    place, held, first = begin, b"", begin  # `held` begins at `first`
    for _ in range(MOST_PAGES):
        if place >= total:
            break
        if place + PAGE.size + 255 > first + len(held):
            held, first = read_at(file, place, READ), place
        header = held[place - first :][: PAGE.size + 255]
        if len(header) < PAGE.size:
            pages.is_cut |= header.startswith(OGG_MARK[: len(header)])
            break
        mark, _, kind, _, stream, number, _, count = PAGE.unpack_from(header)
        if mark != OGG_MARK:
            break
        if stream in numbers:
            pages.lost += max(0, number - numbers[stream] - 1)
        numbers[stream] = number
        sizes = header[PAGE.size : PAGE.size + count]
        place += PAGE.size + count + sum(sizes)
        pages.is_cut = len(sizes) < count or place > total
        pages.has_end |= bool(kind & LAST) and not pages.is_cut
    return pages
