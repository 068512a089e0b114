"""What tagging and embedding give: small frozen records, one for each file."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)  # slots: the timeline of a long file holds very many
class Tag:
    """A class with its score.

    Attributes:
        label: Name of the class.
        mid: AudioSet machine id, where the class has one.
        score: Probability in [0, 1].
    """

    label: str
    mid: str | None
    score: float


@dataclass(frozen=True)
class Segment:
    """Tags of one window of a file, from `start` to `end` in seconds."""

    start: float
    end: float
    tags: tuple[Tag, ...]


@dataclass(frozen=True)
class FileTags:
    """Tags of one file, or why it has none.

    Attributes:
        path: The file, as it was named.
        duration: Seconds; None if the file failed.
        tags: Sorted by score, highest first.
        segments: Tags of each window, if a timeline was asked for.
        error: Why the file failed; None if it did not.
    """

    path: str
    duration: float | None
    tags: tuple[Tag, ...]
    segments: tuple[Segment, ...] = ()
    error: str | None = None


def _no_values() -> np.ndarray:
    return np.zeros((0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class FileEmbedding:
    """Embeddings of one file, or why it has none.

    Attributes:
        path: The file, as it was named.
        duration: Seconds; None if the file failed.
        clip: Mean of the windows' embeddings, (D,) float32.
        windows: Embedding of each window, (N, D) float32.
        starts: Start of each window in seconds, (N,) float64.
        error: Why the file failed; None if it did not.
    """

    path: str
    duration: float | None
    clip: np.ndarray = field(default_factory=_no_values)
    windows: np.ndarray = field(default_factory=_no_values)
    starts: np.ndarray = field(default_factory=_no_values)
    error: str | None = None
