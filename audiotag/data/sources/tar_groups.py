"""WebDataset's tar files: neighbouring members with one key belong together; damage is passed over.

Nothing is ever unpacked: what a member's name says has no effect on any file.
"""

import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO

from audiotag.data.shards import TAR_BLOCK, TAR_END

BLANK = tarfile.RECORDSIZE + len(TAR_END)  # bytes of zeros that the end of a tar file has at most


@dataclass(frozen=True)
class Group:
    """Neighbouring members of a tar file with one key, or what lies there and is no member.

    Attributes:
        offset: Of its first byte in the file.
        key: The members' path up to the first dot of the name; None where there is damage.
        members: By suffix, in lower case; the first where there are several.
    """

    offset: int
    key: str | None
    members: Mapping[str, tarfile.TarInfo]


@dataclass(frozen=True)
class _Place:
    """A member, or damage, and where it begins."""

    offset: int
    key: str | None
    member: tarfile.TarInfo | None


def read_groups(file: BinaryIO, start: int = 0) -> Iterator[Group]:
    """The groups of a tar file from the one on that begins at byte `start`."""
    for key, places in groupby(_places(file, start), lambda place: place.key):
        first, *others = places
        members: dict[str, tarfile.TarInfo] = {}
        for place in (first, *others):
            if place.member is not None:
                suffix = os.path.splitext(place.member.name)[1].removeprefix(".").lower()
                members.setdefault(suffix, place.member)
        yield Group(first.offset, key, members)


def _places(file: BinaryIO, start: int) -> Iterator[_Place]:
    end = start
    for member, following in _members(file, start):
        if _is_damaged(file, end, member.offset):
            yield _Place(end, None, None)
        if member.isreg() and not os.path.basename(member.name).startswith("."):
            yield _Place(member.offset, _key(member.name), member)
        end = following
    if _is_damaged(file, end, _size(file)):
        yield _Place(end, None, None)


def _members(file: BinaryIO, start: int) -> Iterator[tuple[tarfile.TarInfo, int]]:
    """Members from a place on, and where each ends; what is no member's header is skipped."""
    while start < _size(file):
        file.seek(start)
        try:
            with tarfile.TarFile(fileobj=file, ignore_zeros=True) as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]  # else held to the end
                    start = tar.offset
                    yield member, start
            return
        except tarfile.ReadError:  # a member is cut off, or what its extended header belongs to
            start += TAR_BLOCK


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _is_damaged(file: BinaryIO, start: int, end: int) -> bool:
    """Whether bytes between members are more than the zeros that a tar file ends with."""
    if end - start > BLANK:
        return True
    file.seek(start)
    return end > start and any(file.read(end - start))


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size
