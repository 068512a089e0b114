"""Whether a recording is in Ambisonics' B-format, whose first channel holds sound from everywhere.

The other channels hold differences between sides, and mixed with the first they would take from it.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from audiotag.audio.mp4 import boxes
from audiotag.audio.sources import Readable, open_source, read_at, size_of

SUFFIXES = (".amb", ".ambix")
ORDERS = (4, 9, 16, 25, 36)  # channels of the first order and up
B_FORMAT = re.compile(rb"ambi-?x|ambisonic|b-format|\bfuma\b", re.IGNORECASE)
SPATIAL_AUDIO = re.compile(rb"SA3D\0[\0\x80]")  # YouTube's box, version and type
MOVIE_BYTES = 2**24  # that are searched for it


def is_named_ambisonic(source: object) -> bool:
    """Whether a file's name says so."""
    return isinstance(source, Path) and source.suffix.lower() in SUFFIXES


def is_said_ambisonic(texts: Iterable[bytes]) -> bool:
    """Whether a program's description says so."""
    return any(B_FORMAT.search(text) for text in texts)


def is_spatial_mp4(source: Readable) -> bool:
    """Whether an MP4 file has the box that YouTube asks for."""
    with open_source(source) as file:
        for box in boxes(file, 0, size_of(file)):
            if box.name == b"moov":
                movie = read_at(file, box.begin, min(box.size, MOVIE_BYTES))
                return SPATIAL_AUDIO.search(movie) is not None
    return False
