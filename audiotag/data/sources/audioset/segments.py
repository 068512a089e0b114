"""AudioSet's segment lists: which 10 s of which YouTube video have which labels."""

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audiotag.data.sources.text import encoding_of
from audiotag.errors import DataError

HOME = "http://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv/"
FILES = {  # by subset
    "balanced": "balanced_train_segments.csv",
    "unbalanced": "unbalanced_train_segments.csv",
    "eval": "eval_segments.csv",
}
HEADER = ("YTID", "VIDEO_ID")  # what the first column is called where a program wrote the list
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

    Its first lines begin with `#`, or are a header without one; the others have the form `id,
    start, end, "mid,mid"`.

    Raises:
        DataError: If it cannot be read, or a line has another form; names the line.
    """
    try:
        with path.open(encoding=encoding_of(path), newline="") as file:
            lines = csv.reader(file, skipinitialspace=True)
            for number, row in enumerate(lines, 1):
                if row and not row[0].startswith("#") and row[0].upper() not in HEADER:
                    yield _segment(row, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); download it from {HOME}") from error


def _segment(row: list[str], place: str) -> AudioSetSegment:
    try:
        name, start, end, mids = row
        times = float(start), float(end)
        if not 0 <= times[0] < times[1] < math.inf:
            raise ValueError("it ends before it begins")
    except ValueError:
        raise DataError(f'{place}: not of the form id, start, end, "mid,mid"') from None
    if not YOUTUBE_ID.fullmatch(name):
        raise DataError(f"{place}: {name!r} is not a YouTube id")
    return AudioSetSegment(name, *times, tuple(mids.split(",")))
