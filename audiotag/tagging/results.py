"""The results of tagging and embedding: small frozen records, one for each file."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from audiotag.features.spectrogram import Spectrogram
from audiotag.tagging.notebook import bars

SCORE_DIGITS = 5  # of scores in outputs
TIME_DIGITS = 3  # ms
EVENT_TIMES = ("start", "end", "peak")
NO_TAG = "no tag of the labels asked for"
GUESS = " ?"  # after a tag below its threshold, where people read it


@dataclass(frozen=True, slots=True)  # slots save memory: a long file's timeline has many tags
class Tag:
    """A class with its score.

    Attributes:
        label: Name of the class.
        mid: AudioSet machine id, where the class has one.
        score: Probability in [0, 1].
        guess: Whether it is a guess: the best tag, given although it is below its threshold.
    """

    label: str
    mid: str | None
    score: float
    guess: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The tag as in JSON: label, mid, rounded score, and that it is a guess if it is one."""
        guess = {"guess": True} if self.guess else {}
        return {"label": self.label, "mid": self.mid, "score": rounded_score(self.score), **guess}


@dataclass(frozen=True)
class Segment:
    """Tags of one window of a file, from `start` to `end` in seconds."""

    start: float
    end: float
    tags: tuple[Tag, ...]

    def to_dict(self) -> dict[str, Any]:
        """The segment as in JSON: start, end and tags."""
        return {
            "start": rounded_time(self.start),
            "end": rounded_time(self.end),
            "tags": [tag.to_dict() for tag in self.tags],
        }


@dataclass(frozen=True, slots=True)
class Event:
    """A sound from its beginning to its end.

    Attributes:
        label: Name of the class.
        mid: AudioSet machine id, where the class has one.
        start: Seconds.
        end: Seconds.
        score: The highest of its windows' scores.
        peak: Middle of the window with that score, in seconds.
        mean: Mean of its windows' scores.
    """

    label: str
    mid: str | None
    start: float
    end: float
    score: float
    peak: float
    mean: float

    def within(self, duration: float) -> "Event":
        """The event with its times inside a recording of so many seconds."""
        times = {name: min(max(getattr(self, name), 0.0), duration) for name in EVENT_TIMES}
        return replace(self, **times)

    def to_dict(self) -> dict[str, Any]:
        """The event as in JSON, rounded."""
        times = {name: rounded_time(getattr(self, name)) for name in EVENT_TIMES}
        scores = {name: rounded_score(getattr(self, name)) for name in ("score", "mean")}
        return {"label": self.label, "mid": self.mid, **times, **scores}


@dataclass(frozen=True)
class FileTags:
    """Tags of one file, or why it has none.

    Attributes:
        path: The file, as it was named.
        duration: Seconds; None if the file failed.
        tags: Sorted by score, highest first.
        segments: Tags of each window, if a timeline was asked for.
        events: Sounds with their times, in the order of their starts; None if none were asked for.
        error: Why the file failed; None if it did not.
        warning: What is doubtful about it, sentences joined by "; "; None if nothing is.
        sample_rate: The recording's, in Hz, if it is known.
        spectrogram: Its picture, if one was asked for.
    """

    path: str
    duration: float | None
    tags: tuple[Tag, ...]
    segments: tuple[Segment, ...] = ()
    events: tuple[Event, ...] | None = None
    error: str | None = None
    warning: str | None = None
    sample_rate: int | None = None
    spectrogram: Spectrogram | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """What `--format jsonl` writes of it: path, duration, tags, segments and events, or the
        error, and the warning if there is one."""
        warned = {} if self.warning is None else {"warning": self.warning}
        if self.error is not None:
            return {"path": self.path, "error": self.error, **warned}
        record: dict[str, Any] = {
            "path": self.path,
            "duration": rounded_time(self.duration or 0.0),
            "tags": [tag.to_dict() for tag in self.tags],
        }
        if self.segments:
            record["segments"] = [segment.to_dict() for segment in self.segments]
        if self.events is not None:
            record["events"] = [event.to_dict() for event in self.events]
        return record | warned

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<FileTags of {self.path}, failed: {self.error}>"
        scores = ", ".join(f"{tag.label}{_mark(tag)} {tag.score:.3f}" for tag in self.tags)
        windows = f", {len(self.segments)} segments" if self.segments else ""
        windows += f", {len(self.events)} events" if self.events is not None else ""
        return f"<FileTags of {self._heading()}{windows}: {scores or 'no tag'}>"

    def _repr_html_(self) -> str:
        """The tags as bars, for a notebook."""
        if self.error is not None:
            return bars(self.path, (), self.error)
        scores = [(tag.label + _mark(tag), tag.score) for tag in self.tags]
        notes = [] if scores else [NO_TAG]
        notes += [] if self.warning is None else [f"warning: {self.warning}"]
        return bars(self._heading(), scores, "; ".join(notes))

    def _heading(self) -> str:
        return f"{self.path}, {self.duration or 0.0:.1f} s"


def _mark(tag: Tag) -> str:
    return GUESS if tag.guess else ""


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
        warning: As of `FileTags`.
    """

    path: str
    duration: float | None
    clip: np.ndarray = field(default_factory=_no_values)
    windows: np.ndarray = field(default_factory=_no_values)
    starts: np.ndarray = field(default_factory=_no_values)
    error: str | None = None
    warning: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Lists of numbers, named as in parquet files, or the error; and the warning if there is
        one."""
        warned = {} if self.warning is None else {"warning": self.warning}
        if self.error is not None:
            return {"path": self.path, "error": self.error, **warned}
        return {
            "path": self.path,
            "duration": self.duration,
            "clip": self.clip.tolist(),
            "window_starts": self.starts.tolist(),
            "windows": self.windows.tolist(),
            **warned,
        }

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<FileEmbedding of {self.path}, failed: {self.error}>"
        count, size = self.windows.shape
        windows = f"{count} window{'' if count == 1 else 's'} of {size} values"
        return f"<FileEmbedding of {self.path}, {self.duration or 0.0:.1f} s: {windows}>"


def rounded_score(score: float) -> float:
    """A score, rounded as in outputs."""
    return round(score, SCORE_DIGITS)


def rounded_time(seconds: float) -> float:
    """A time in seconds, rounded as in outputs."""
    return round(seconds, TIME_DIGITS)
