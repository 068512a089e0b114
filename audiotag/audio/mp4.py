"""Boxes: the pieces that MP4 files and their relatives are made of."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from audiotag.audio.sources import read_at

FIELDS = struct.Struct(">I4sQ")  # size, name, and the size where the first one is 1
HEADER, LONG_HEADER = 8, 16  # bytes
MOST_BOXES = 1_000_000  # of a file; a day in fragments of a second has 173,000


@dataclass(frozen=True)
class Box:
    """A box of a file.

    Attributes:
        name: Its four bytes.
        begin: Byte that it begins at.
        size: Its bytes, header included.
    """

    name: bytes
    begin: int
    size: int


def boxes(file: IO[bytes], begin: int, total: int) -> Iterator[Box]:
    """The outermost boxes from a byte on, up to one that is damaged or does not say its size."""
    place = begin
    for _ in range(MOST_BOXES):
        if place >= total:
            return
        head = read_at(file, place, FIELDS.size)
        if len(head) < HEADER:
            return
        short, name, long = FIELDS.unpack(head.ljust(FIELDS.size, b"\0"))
        size = long if short == 1 else short
        yield Box(name, place, size)
        if size < (LONG_HEADER if short == 1 else HEADER):
            return
        place += size
