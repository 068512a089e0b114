"""The times of FFmpeg's frames on their container's clock."""

from fractions import Fraction
from typing import TYPE_CHECKING

from audiotag.audio.clock import TOLERANCE
from audiotag.audio.sources import Readable, open_source

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

MICROSECOND = 1e-6  # s, in which a container's times are given
AVI = "avi"  # has no times
MOV = "mov"  # the clock of MP4 and its relatives begins at 0, edit lists say
WITH_END = (MOV, "matroska", "flac", "ogg")  # write down where they end
FRAGMENTED = (b"moof", b"mvex", b"styp")  # but not in a piece of a stream
HEAD = 2**16  # bytes that show whether it is one


class FrameTimes:
    """Times of a stream's frames on its container's clock.

    Attributes:
        end: Second at which the container ends; None where it does not say.
        are_counted: Whether they come from the bytes before them, since the format has none.
        is_end_heard: Whether the stream should last until `end`, which its format writes down.
    """

    def __init__(
        self, source: Readable, container: "InputContainer", stream: "AudioStream"
    ) -> None:
        self._tick = stream.time_base or Fraction(1, stream.rate)
        first = (container.start_time or 0) * MICROSECOND
        self._origin = stream.start_time or 0  # in ticks
        zero = first
        if self._origin * self._tick > TOLERANCE and MOV in container.format.name:
            zero = first if _is_fragmented(source) else min(first, 0.0)
        if self._origin * self._tick - zero > TOLERANCE:
            self._origin = round(zero / self._tick)
        duration = container.duration
        self.end = None if not duration else first - zero + duration * MICROSECOND
        self.are_counted = container.format.name == AVI
        is_written = any(name in container.format.name for name in WITH_END)
        self.is_end_heard = is_written and len(container.streams) == 1

    def of(self, frame: "AudioFrame") -> float | None:
        """Second of a frame."""
        return None if frame.pts is None else float((frame.pts - self._origin) * self._tick)

    def ticks(self, second: float) -> int:
        """What the stream calls a second."""
        return round(second / self._tick) + self._origin


def _is_fragmented(source: Readable) -> bool:
    """Whether an MP4 file may be a piece of a stream, whose clock began earlier."""
    with open_source(source) as file:
        head = file.read(HEAD)
    return any(mark in head for mark in FRAGMENTED)
