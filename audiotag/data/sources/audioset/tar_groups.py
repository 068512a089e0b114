"""WebDataset's tar files: neighbouring members with the same key are a group; damage is skipped.

Nothing is ever unpacked, so the name of a member cannot affect any file.
"""

import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO

from audiotag.data.shards import TAR_BLOCK, TAR_END, padded, read_header

BLANK = tarfile.RECORDSIZE + len(TAR_END)  # zeros that a tar file ends with, at most
NAME_BYTES = 2**16  # of a header with the next member's name, at most; more is damage
WITHOUT_DATA = b"123456"  # types: links, devices, folders
LONG_NAME, EXTENDED = tarfile.GNUTYPE_LONGNAME, (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
BEFORE_A_MEMBER = (LONG_NAME, *EXTENDED, tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE)
RECORD = re.compile(rb"(\d{1,5}) ([^=]*)=")  # of an extended header: its length, what it says


@dataclass(frozen=True)
class Member:
    """A file in a tar file: its name, the position of its bytes, and their number."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Group:
    """Neighbouring members of a tar file with the same key, or a damaged place.

    Attributes:
        offset: Position of its first byte in the file.
        key: The members' path up to the first dot of the name; None for a damaged place.
        members: The members by suffix, in lower case; the first if several have the same suffix.
    """

    offset: int
    key: str | None
    members: Mapping[str, Member]


@dataclass(frozen=True)
class _Place:
    """A member, or a damaged place, and its position."""

    offset: int
    key: str | None = None
    member: Member | None = None


def read_groups(file: BinaryIO, start: int = 0) -> Iterator[Group]:
    """The groups of a tar file, from the one that begins at byte `start` on."""
    for key, places in groupby(_places(file, start), lambda place: place.key):
        first, *others = places
        members: dict[str, Member] = {}
        for place in (first, *others):
            if place.member is not None:
                suffix = os.path.splitext(place.member.name)[1].removeprefix(".").lower()
                members.setdefault(suffix, place.member)
        yield Group(first.offset, key, members)


def _places(file: BinaryIO, start: int) -> Iterator[_Place]:
    end = start
    for begin, header in _headers(file, start):
        if _is_damaged(file, end, begin):
            yield _Place(end)
        if header.isreg() and not os.path.basename(header.name).startswith("."):
            member = Member(header.name, header.offset + TAR_BLOCK, header.size)
            yield _Place(begin, _key(header.name), member)
        end = _end(header)
    if _is_damaged(file, end, os.fstat(file.fileno()).st_size):
        yield _Place(end)


def _headers(file: BinaryIO, start: int) -> Iterator[tuple[int, tarfile.TarInfo]]:
    """The position of each member, and its header; other bytes are skipped.

    `tarfile`'s own reader raises various errors on damaged sizes, or uses up all memory.
    """
    place, begin, name = start, start, None
    while place < os.fstat(file.fileno()).st_size:
        header = read_header(file, place)
        if header is None:
            place += TAR_BLOCK
            begin, name = place, None
        elif header.type in BEFORE_A_MEMBER:
            name = _name(file, header) or name
            place = _end(header) if header.size <= NAME_BYTES else place + TAR_BLOCK
        else:
            header.name = name or header.name
            yield begin, header
            place = begin = _end(header)
            name = None


def _end(header: tarfile.TarInfo) -> int:
    """The position after a header and its data."""
    size = 0 if header.type in WITHOUT_DATA else padded(header.size)
    return header.offset + TAR_BLOCK + size


def _name(file: BinaryIO, header: tarfile.TarInfo) -> str | None:
    """The next member's name, if this header holds it."""
    data = os.pread(file.fileno(), min(header.size, NAME_BYTES), header.offset + TAR_BLOCK)
    if header.type == LONG_NAME:
        return os.fsdecode(data.rstrip(b"\0"))
    while header.type in EXTENDED and (record := RECORD.match(data)):
        length = int(record[1])
        if record[2] == b"path":
            return os.fsdecode(data[record.end() : length - 1])
        data = data[max(length, 1) :]
    return None


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _is_damaged(file: BinaryIO, start: int, end: int) -> bool:
    """Whether bytes between members are more than the zeros that a tar file ends with."""
    if end - start > BLANK:
        return True
    return end > start and any(os.pread(file.fileno(), end - start, start))
