"""AudioSet's segment lists: which 10 s of which YouTube video have which labels."""

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audiotag.audio.find_files import find_files
from audiotag.errors import DataError

HOME = "http://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv/"
FILES = {  # by subset
    "balanced": "balanced_train_segments.csv",
    "unbalanced": "unbalanced_train_segments.csv",
    "eval": "eval_segments.csv",
}
ID_LENGTH = 11
YOUTUBE_ID = re.compile(rf"[A-Za-z0-9_-]{{{ID_LENGTH}}}")


@dataclass(frozen=True)
class AudioSetSegment:
    """A clip of AudioSet.

    Attributes:
        id: Id of the video: 11 characters; any of them, also the first, may be `_` or `-`.
        start, end: Seconds of the video.
        mids: Machine ids of its labels.
    """

    id: str
    start: float
    end: float
    mids: tuple[str, ...]


def read_segments(path: Path) -> Iterator[AudioSetSegment]:
    """The segments of a list, in its order.

    Its first lines begin with `#`; the others have the form `id, start, end, "mid,mid"`.

    Raises:
        DataError: If it cannot be read, or a line has another form; names the line.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file, skipinitialspace=True)
            for number, row in enumerate(lines, 1):
                if row and not row[0].startswith("#"):
                    yield _segment(row, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); download it from {HOME}") from error


def youtube_ids(name: str) -> Iterator[str]:
    """Possible YouTube ids in a file name: its first 11 characters, or those after a Y.

    The suffix or the times of the clip follow: `<id>.wav`, `Y<id>.flac`, `<id>_30.000_40.000.m4a`,
    `<id>_30000.wav`.
    """
    for start in (0, 1) if name.startswith("Y") else (0,):
        candidate, rest = name[start : start + ID_LENGTH], name[start + ID_LENGTH :]
        if YOUTUBE_ID.fullmatch(candidate) and rest[:1] in (".", "_", "-"):
            yield candidate


def files_by_id(folder: Path) -> dict[str, str]:
    """Paths of the audio files below a folder, relative to it, by each of their possible ids."""
    found: dict[str, str] = {}
    for path in find_files([folder]):
        for name in youtube_ids(path.name):
            found.setdefault(name, os.path.relpath(path, folder))
    return found


def _segment(row: list[str], place: str) -> AudioSetSegment:
    try:
        name, start, end, mids = row
        times = float(start), float(end)
    except ValueError:
        raise DataError(f'{place}: not of the form id, start, end, "mid,mid"') from None
    if not YOUTUBE_ID.fullmatch(name):
        raise DataError(f"{place}: {name!r} is not a YouTube id")
    return AudioSetSegment(name, *times, tuple(mids.split(",")))
