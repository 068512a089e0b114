"""Recordings of events, with the seconds before and after them, in a folder of bounded size."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from audiotag.live.listen import Session
from audiotag.live.news import BEGIN, RECORDED, LiveEvent, Notice
from audiotag.runtime.files import explained, make_folder, replaced

SLACK = 30.0  # s of sound that are kept beside those before an event
OURS = re.compile(r"\d{8}T\d{6}\.\d{3} .+\.flac")  # names of recordings
NOT_IN_NAMES = re.compile(r"[^\w ,()'-]+")


@dataclass(frozen=True)
class RecordOptions:
    """What is recorded of an event.

    Attributes:
        folder: Where recordings go.
        before: Seconds before it.
        after: Seconds after it.
        longest: Seconds of a recording at most.
        most: Bytes of all recordings in the folder; beyond them the oldest are removed.
    """

    folder: Path
    before: float = 2.0
    after: float = 2.0
    longest: float = 300.0
    most: int = 10**9

    @property
    def kept(self) -> float:
        """Seconds of sound that must be kept for recordings."""
        return self.before + SLACK


@dataclass
class _Open:
    """A recording that goes on: samples from `next` on are still to come, up to before `end`."""

    target: Path
    event: LiveEvent
    next: int
    end: int
    parts: list[np.ndarray] = field(default_factory=list)  # int16, to take half the memory


class Recorder:
    """Records events.

    Args:
        options: What is recorded, and where.

    Raises:
        OutputError: The folder cannot be made.
    """

    def __init__(self, options: RecordOptions) -> None:
        self._options = options
        self._open: dict[int, dict[str, _Open]] = {}  # by session, by label
        make_folder(options.folder)

    def note(self, session: Session, event: LiveEvent) -> None:
        """Begin or end the recording of an event of a session."""
        tape, going = session.tape, self._open.setdefault(id(session), {})
        assert tape is not None
        rate, options = tape.sample_rate, self._options
        if event.kind == BEGIN:
            begun = round(session.places[event.label] * rate)
            first = max(0, begun - round(options.before * rate))
            last = first + round(options.longest * rate)
            going[event.label] = _Open(self._target(event), event, first, last)
        elif (recording := going.get(event.label)) is not None:
            ended = session.places[event.label] + event.duration + options.after
            recording.end = min(recording.end, round(ended * rate))

    def heard(self, session: Session, end: float | None = None) -> Iterator[Notice]:
        """Take what a session's tape has got up to a second of its sound; finishes recordings that
        are complete. Without a second, the session is over, and all of its recordings are finished.

        Raises:
            OutputError: A recording cannot be written; it is given up.
        """
        going = self._open.get(id(session), {})
        tape = session.tape
        for label, recording in list(going.items()):
            assert tape is not None
            known = tape.end if end is None else round(end * tape.sample_rate)
            first, samples = tape.read(recording.next, min(recording.end, known))
            recording.next = max(recording.next, first + len(samples))
            recording.parts.append(np.round(samples * 32767).astype(np.int16))
            if end is None or known >= recording.end:
                del going[label]
                yield self._written(recording, tape.sample_rate)
        if end is None:
            self._open.pop(id(session), None)

    def _written(self, recording: _Open, rate: int) -> Notice:
        import soundfile

        content, samples = io.BytesIO(), np.concatenate(recording.parts)
        # An event is known to have ended some time after it has.
        samples = samples[: len(samples) - max(0, recording.next - recording.end)]
        soundfile.write(content, samples, rate, format="FLAC")
        with replaced(recording.target, sync=False) as file:
            file.write(content.getbuffer())
        self._make_room()
        source, now = recording.event.source, datetime.now().astimezone()
        return Notice(RECORDED, source, now, str(recording.target))

    def _target(self, event: LiveEvent) -> Path:
        start = event.start.strftime("%Y%m%dT%H%M%S.") + f"{event.start.microsecond // 1000:03d}"
        label = NOT_IN_NAMES.sub("_", event.label)[:80]
        source = NOT_IN_NAMES.sub("_", event.source)[-80:]
        return self._options.folder / f"{start} {label} {source}.flac"

    def _make_room(self) -> None:
        """Remove the oldest recordings while they take more than they may."""
        with explained(self._options.folder):
            ours = sorted(x for x in self._options.folder.iterdir() if OURS.fullmatch(x.name))
            sizes = {path: path.stat().st_size for path in ours}
            total = sum(sizes.values())
            for path in ours[:-1]:  # the newest stays, however large
                if total <= self._options.most:
                    break
                path.unlink()
                total -= sizes[path]
