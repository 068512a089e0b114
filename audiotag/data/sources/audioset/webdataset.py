"""AudioSet in WebDataset tars, such as those of the Hub data set confit/audioset-16khz-wds.

A clip is `<key>.wav` (or flac, mp3, ogg, ...) and, beside it, `<key>.json`, `.cls` or `.txt`, which
names its classes: by mids, names, or numbers in the order of the 527.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from audiotag.audio.extensions import AUDIO_EXTENSIONS
from audiotag.data.prepare.parts import PARTS_FOLDER
from audiotag.data.recordings import BytesAudio, Failure, Recording, printable
from audiotag.data.shards import DATASET_FILE, SHARDS_FOLDER
from audiotag.data.sources.audioset.archives import Archive
from audiotag.data.sources.audioset.segments import YOUTUBE_ID, youtube_ids
from audiotag.data.sources.audioset.tar_groups import Group, Member, read_groups

LABEL_FIELDS = ("labels", "label", "mids", "mid", "label_ids", "label_id", "classes", "class")
ID_FIELDS = ("id", "video_id", "youtube_id", "ytid", "YTID")
ABOUT = ("json", "cls", "txt")  # suffixes of the file that names the classes; the first counts
SEPARATORS = ("\n", ";", ",")  # of classes in a text; names have commas too, so they come last
MEMBER_BYTES = 2**28  # of a clip, at most
EVAL, UNBALANCED = {"eval", "evaluation", "test"}, {"unbal", "unbalanced", "2m", "500k"}
WORDS = re.compile(r"[a-z0-9]+")


class _Unusable(Exception):
    """The reason why a clip cannot be used, and the kind of failure."""

    def __init__(self, reason: str, kind: str = "unreadable") -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class WebDatasetLayout:
    """As `archives.ArchiveLayout`; rows are numbered by their first byte in the file."""

    names: Mapping[str, str]
    wanted: Collection[str]

    def rows(self, path: Path) -> np.ndarray | None:
        """As `ArchiveLayout.rows`."""
        try:
            with path.open("rb") as file:
                groups = (group for group in read_groups(file) if self._is_wanted(file, group))
                found = [(group.offset, group.key) for group in groups]
        except OSError:
            return None
        if not any(key is not None for _, key in found):
            return None
        return np.array([offset for offset, _ in found], dtype=np.int64)

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
            found = self._mids(_parsed(file, group)) if self.wanted else ()
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
        about = _parsed(file, group)
        labels = tuple(self.names[mid] for mid in self._mids(about))
        return Recording(
            f"{archive.name}/{group.key}",
            BytesAudio(_read(file, audio)),
            labels,
            archive.split,
            key=_clip_key(archive, group.key, about),
        )

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


def find_tars(folder: Path) -> dict[str, str]:
    """Subset of each tar file below a folder, by its path below the folder, in order.

    A path, this folder's name included, with a word such as "test" belongs to "eval"; with "2m",
    "500k", "unbalanced" or "unbal" to "unbalanced", else to "balanced".
    """
    tars = (path for path in sorted(folder.rglob("*.tar")) if not _is_prepared(path, folder))
    paths = (path.relative_to(folder).as_posix() for path in tars)
    return {path: _subset(f"{folder.absolute().name}/{path}") for path in paths}


def _is_prepared(path: Path, folder: Path) -> bool:
    """Whether a tar is a shard of a data set that was, or is being, prepared inside the folder."""
    out = path.parent.parent
    marks = (out / DATASET_FILE, out / PARTS_FOLDER)
    return path.parent.name == SHARDS_FOLDER and out != folder and any(x.exists() for x in marks)


def _subset(path: str) -> str:
    words = set(WORDS.findall(path.lower()))
    if words & EVAL:
        return "eval"
    return "unbalanced" if words & UNBALANCED else "balanced"


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
        raise _Unusable(f"has no {' or '.join(ABOUT)} beside it that names its classes", "class")
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


def _clip_key(archive: Archive, key: str, about: Any) -> str:
    """The YouTube id in the json or in the key; else the archive's name and the key."""
    for field in ID_FIELDS if isinstance(about, dict) else ():
        if YOUTUBE_ID.fullmatch(str(about.get(field))):
            return str(about[field])
    name = key.rpartition("/")[2]
    if not name.isdecimal():  # a running number, not an id
        for found in youtube_ids(f"{name}."):
            return found
    return f"{archive.name.removesuffix('.tar')}/{key}"
