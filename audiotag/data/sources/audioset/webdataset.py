"""AudioSet in WebDataset tars, such as those of the Hub data set confit/audioset-16khz-wds.

A clip is `<key>.wav` (or flac, mp3, ogg, ...) and, beside it, `<key>.json`, `.cls` or `.txt`, which
names its classes: by mids, names, or numbers in the order of the 527. Where none of them does, the
segment lists do, by the YouTube id in the key; they say the split too.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from audiotag.audio.extensions import AUDIO_EXTENSIONS
from audiotag.data.recordings import BytesAudio, Failure, Recording, printable
from audiotag.data.sources.archives import Archive, FoundRows
from audiotag.data.sources.audioset.listed_labels import ListedLabels
from audiotag.data.sources.audioset.named_files import NamedFile, fitting, youtube_ids
from audiotag.data.sources.audioset.segments import YOUTUBE_ID, AudioSetSegment
from audiotag.data.sources.audioset.subsets import SPLITS
from audiotag.data.sources.audioset.tar_groups import Group, Member, read_groups

SUFFIXES = (".tar",)
LABEL_FIELDS = ("labels", "label", "mids", "mid", "label_ids", "label_id", "classes", "class")
ID_FIELDS = ("id", "video_id", "youtube_id", "ytid", "YTID")
ABOUT = ("json", "cls", "txt")  # suffixes of the file that names the classes; the first counts
SEPARATORS = ("\n", ";", ",")  # of classes in a text; names have commas too, so they come last
MEMBER_BYTES = 2**28  # of a clip, at most


class _Unusable(Exception):
    """The reason why a clip cannot be used, and the kind of failure."""

    def __init__(self, reason: str, kind: str = "unreadable") -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class _About:
    """What is known about a clip: its classes, and perhaps its YouTube id and its split."""

    mids: list[str]
    id: str | None
    split: str | None = None


@dataclass(frozen=True)
class WebDatasetLayout:
    """As `archives.ArchiveLayout`; rows are numbered by their first byte in the file.

    Attributes:
        listed: Gives the labels in the segment lists, or None if there are no lists.
    """

    names: Mapping[str, str]
    wanted: Collection[str]
    listed: Callable[[], ListedLabels | None]

    @property
    def labels(self) -> tuple[str, ...]:
        """As `ArchiveLayout.labels`."""
        return tuple(self.names.values())

    @property
    def chosen(self) -> list[str]:
        """As `ArchiveLayout.chosen`."""
        return sorted(self.wanted)

    def rows(self, path: Path) -> FoundRows | None:
        """As `ArchiveLayout.rows`."""
        try:
            with path.open("rb") as file:
                groups = (group for group in read_groups(file) if self._is_wanted(file, group))
                found = [(group.offset, group.key) for group in groups]
        except OSError:
            return None
        if not any(key is not None for _, key in found):
            return None
        return FoundRows(np.array([offset for offset, _ in found], dtype=np.int64))

    def read(self, archive: Archive, rows: np.ndarray) -> Iterator[Recording | Failure]:
        """As `ArchiveLayout.read`."""
        with archive.path.open("rb") as file:
            for row in rows.tolist():
                group = next(read_groups(file, row))
                place = f"byte {row}" if group.key is None else printable(group.key)
                try:
                    yield self._recording(archive, file, group)
                except _Unusable as error:
                    yield Failure(f"{archive.name}/{place}", str(error), error.kind)
                except OSError as error:
                    yield Failure(f"{archive.name}/{place}", f"cannot be read ({error.strerror})")

    def _is_wanted(self, file: BinaryIO, group: Group) -> bool:
        """Whether it has a wanted class, or cannot be used and so becomes a failure."""
        if group.key is not None and not (_audio(group) or _about(group)):
            return False  # not a file of a clip
        try:
            found = self._about(file, group).mids if self.wanted else ()
        except _Unusable:
            return True
        return not self.wanted or not set(self.wanted).isdisjoint(found)

    def _recording(self, archive: Archive, file: BinaryIO, group: Group) -> Recording:
        if group.key is None:
            raise _Unusable(
                "is not a member of the tar file: it is damaged here; download it again"
            )
        audio = _audio(group)
        if audio is None:
            raise _Unusable("has no audio file beside it", "missing")
        about = self._about(file, group)
        return Recording(
            f"{archive.name}/{group.key}",
            BytesAudio(_read(file, audio)),
            tuple(self.names[mid] for mid in about.mids),
            about.split or archive.split,
            key=about.id or _clip_key(archive, group.key),
        )

    def _about(self, file: BinaryIO, group: Group) -> _About:
        """What the file beside a clip says or, if it names no classes, the segment lists."""
        try:
            found = _parsed(file, group)
            return _About(self._mids(found), _id(found))
        except _Unusable as error:
            if error.kind != "class":
                raise
            listed = self._listed(group)
            if listed is None:
                raise
            return listed

    def _listed(self, group: Group) -> _About | None:
        """What the segment lists say of the id in a clip's key."""
        lists = self.listed()
        for name, rest in youtube_ids(f"{(group.key or '').rpartition('/')[2]}."):
            found = None if lists is None else lists.find(name)
            if found is not None:
                return self._of_segment(*found, rest)
        return None

    def _of_segment(self, subset: str, segment: AudioSetSegment, rest: str) -> _About:
        if fitting([NamedFile("", rest)], segment) is None:
            raise _Unusable("the time in its name is not listed for its id", "other time")
        unknown = [mid for mid in segment.mids if mid not in self.names]
        if unknown:
            raise _Unusable(f"{' and '.join(unknown)} is not of the 527 classes", "class")
        return _About(list(segment.mids), segment.id, SPLITS[subset])

    def _mids(self, about: Any) -> list[str]:
        """The classes that a clip's json, or text, names."""
        if not isinstance(about, dict):
            return self._named(about)
        fields = [about[field] for field in LABEL_FIELDS if field in about]
        if not fields:
            raise _Unusable(f"its json has none of {', '.join(LABEL_FIELDS)}", "class")
        return self._named(next(filter(None, fields), []))

    def _named(self, value: Any) -> list[str]:
        if isinstance(value, list):
            return list(dict.fromkeys(mid for one in value for mid in self._named(one)))
        text = str(value).strip()
        if text in self._known:
            return [self._known[text]]
        for separator in SEPARATORS:
            if separator in text:
                return self._named([one for one in text.split(separator) if one.strip()])
        raise _Unusable(f"{printable(text)[:80]} is not of the 527 classes", "class")

    @cached_property
    def _known(self) -> dict[str, str]:
        """Mid of each mid, name, and number."""
        known = {str(number): mid for number, mid in enumerate(self.names)}
        return known | {name: mid for mid, name in self.names.items()} | {x: x for x in self.names}


def _audio(group: Group) -> Member | None:
    found = (member for x, member in group.members.items() if f".{x}" in AUDIO_EXTENSIONS)
    return next(found, None)


def _about(group: Group) -> str | None:
    """The suffix of the file that names the classes."""
    return next((suffix for suffix in ABOUT if suffix in group.members), None)


def _parsed(file: BinaryIO, group: Group) -> Any:
    """The value of a clip's json, or the text of its other file."""
    suffix = _about(group)
    if suffix is None:
        raise _Unusable(
            f"has no {' or '.join(ABOUT)} beside it that names its classes, and is in no segment "
            "list; say where those are with --metadata",
            "class",
        )
    try:
        text = _read(file, group.members[suffix]).decode()
        return json.loads(text) if suffix == "json" else text
    except (ValueError, RecursionError) as error:
        raise _Unusable(f"its {suffix} cannot be read ({error})") from error


def _read(file: BinaryIO, member: Member) -> bytes:
    if member.size > MEMBER_BYTES:
        raise _Unusable(f"{printable(member.name)} is said to take {member.size:,} bytes")
    file.seek(member.offset)
    data = file.read(member.size)
    if len(data) < member.size:
        raise _Unusable(f"{len(data):,} of {member.size:,} bytes are there; the file is cut off")
    return data


def _id(about: Any) -> str | None:
    """The YouTube id in a clip's json."""
    for field in ID_FIELDS if isinstance(about, dict) else ():
        if YOUTUBE_ID.fullmatch(str(about.get(field))):
            return str(about[field])
    return None


def _clip_key(archive: Archive, key: str) -> str:
    """The YouTube id in the key; else the archive's name and the key."""
    name = key.rpartition("/")[2]
    if not name.isdecimal():  # a running number, not an id
        for found, _ in youtube_ids(f"{name}."):
            return found
    return f"{archive.name.removesuffix('.tar')}/{key}"
