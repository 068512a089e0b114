"""Audio files named by YouTube id, and the times of the video that their names say.

Downloaders write `<id>.wav`, `Y<id>.flac`, `<id>_30.wav`, `<id>_30.000_40.000.m4a`, and, in
milliseconds, `<id>_30000.wav` or `<id>_30000_40000.m4a`; VGGSound's have `<id>_000030.mp4`.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from audiotag.audio.find_files import find_files
from audiotag.data.recordings import Audio, FileAudio, SegmentAudio
from audiotag.data.sources.audioset.segments import ID_LENGTH, YOUTUBE_ID, AudioSetSegment

NUMBER = r"(\d+(?:\.\d+)?)s?"
TIMES = re.compile(rf"[\W_]+{NUMBER}(?:[\W_]+{NUMBER})?[\W_]*")  # after the id
SUFFIX = re.compile(r"\.(?!\d+$)[^.]*$")  # not the digits of a time in a name without a suffix
TOLERANCE = 0.01  # s between two ways to write a time


@dataclass(frozen=True)
class NamedFile:
    """A file, as a path below the folder that was searched, and what follows the id in its name."""

    path: str
    rest: str

    def spans(self) -> Iterator[tuple[float, float | None]]:
        """What may be the seconds of the video at which it begins and ends."""
        match = TIMES.fullmatch(self.rest)
        if match is None:
            return
        first, last = match.groups()
        yield float(first), None if last is None else float(last)
        if "." not in f"{first}{last}":  # perhaps milliseconds
            yield float(first) / 1000, None if last is None else float(last) / 1000


def youtube_ids(name: str) -> Iterator[tuple[str, str]]:
    """What may be the YouTube id in a file's name, its first 11 characters or those after a Y, and
    what follows it, without the suffix."""
    for start in (0, 1) if name.startswith("Y") else (0,):
        candidate, rest = name[start : start + ID_LENGTH], name[start + ID_LENGTH :]
        if YOUTUBE_ID.fullmatch(candidate) and not rest[:1].isalnum() and rest:
            yield candidate, SUFFIX.sub("", rest)


def files_by_id(folder: Path) -> Mapping[str, Sequence[NamedFile]]:
    """The audio files below a folder by every id that they may have."""
    found: dict[str, list[NamedFile]] = defaultdict(list)
    for path in find_files([folder]):
        for name, rest in youtube_ids(path.name):
            found[name].append(NamedFile(os.path.relpath(path, folder), rest))
    return found


def fitting(files: Iterable[NamedFile], segment: AudioSetSegment) -> tuple[NamedFile, float] | None:
    """The file of a video that has a segment, and the second of the video at which it begins; NaN
    if its name does not say. None if no file has it.

    One whose name says the segment's time comes first, then one that says a longer time around it,
    then one that says none.
    """
    fits = [(*fit, file) for file in files if (fit := _fit(file, segment)) is not None]
    if not fits:
        return None
    _, begins, file = min(fits, key=lambda fit: fit[0])
    return file, begins


def audio_of(path: Path, segment: AudioSetSegment, begins: float) -> Audio:
    """The audio of a segment in a file that begins at this second of the video; see `fitting`."""
    if begins != begins:  # NaN
        return SegmentAudio(path, segment.start, segment.end)
    start = max(0.0, segment.start - begins)
    return FileAudio(path, start, start + segment.end - segment.start)


def _fit(file: NamedFile, segment: AudioSetSegment) -> tuple[int, float] | None:
    """How well a file fits, 0 is best, and the second at which it begins."""
    spans = list(file.spans())
    if not spans:
        return 2, float("nan")
    for begin, _ in spans:
        if _is_start(begin, segment):
            return 0, segment.start
    for begin, end in spans:
        if end is not None and begin < segment.start and end >= segment.end - TOLERANCE:
            return 1, begin
    return None


def _is_start(begin: float, segment: AudioSetSegment) -> bool:
    """Whether a time is that of the segment, perhaps without its fraction."""
    return abs(begin - segment.start) <= TOLERANCE or begin == int(segment.start)
