"""What listening tells: events as they begin and end, and notices of the sources."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audiotag.tagging.results import rounded_score, rounded_time

BEGIN, END = "begin", "end"
CONNECTED, LOST, ENDED, GAP, RECORDED = "connected", "lost", "ended", "gap", "recorded"


def as_text(time: datetime) -> str:
    """A time as in JSON: local, to a thousandth of a second, with its distance from UTC."""
    return time.astimezone().isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class LiveEvent:
    """A sound that begins or ends.

    Attributes:
        kind: `BEGIN` or `END`.
        source: Name of the source.
        label: Name of the class.
        mid: AudioSet machine id, where the class has one.
        start: When it began.
        end: When it ended; None of one that begins.
        duration: Seconds from start to end; so far, of one that begins.
        score: The highest of its windows' scores, so far.
        mean: Mean of its windows' scores, so far.
    """

    kind: str
    source: str
    label: str
    mid: str | None
    start: datetime
    end: datetime | None
    duration: float
    score: float
    mean: float

    def to_dict(self) -> dict[str, Any]:
        """The event as in JSON."""
        record: dict[str, Any] = {
            "event": self.kind,
            "source": self.source,
            "label": self.label,
            "mid": self.mid,
            "start": as_text(self.start),
        }
        if self.end is not None:
            record |= {"end": as_text(self.end), "duration": rounded_time(self.duration)}
        return record | {"score": rounded_score(self.score), "mean": rounded_score(self.mean)}


@dataclass(frozen=True)
class Notice:
    """Something about a source that is no event.

    Attributes:
        kind: `CONNECTED`, `LOST`, `ENDED`, `GAP`, or `RECORDED`.
        source: Name of the source.
        time: When.
        text: What happened, or the file that was recorded; empty if the kind says it all.
    """

    kind: str
    source: str
    time: datetime
    text: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The notice as in JSON."""
        name = "file" if self.kind == RECORDED else "reason"
        text = {name: self.text} if self.text else {}
        return {"event": self.kind, "source": self.source, "time": as_text(self.time), **text}
