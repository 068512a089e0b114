"""A container's clock: where there is silence before and between a track's samples.

Audio may begin later than the picture, and packets may be missing. A player plays silence then, and
times here count it too. But a clock may also jump: recordings were joined, a counter starts again,
or a time is damaged. So a gap is silence only if the container is long enough for it, as in ffmpeg.
"""

from audiotag.audio.helper_process import Warn

TOLERANCE = 0.1  # s; packets' times are rounded, and ffmpeg leaves as much to its resampler
JUMP = 10.0  # s, in formats that may be joined from recordings with clocks of their own, as ffmpeg
LONGEST = 3_600.0  # s, where the container does not say how long it is
MISSING, MISSING_PART = 0.5, 0.02  # s, and part of a recording, that are worth a warning
DAY = 86_400.0  # s; longer than what a container holds without a sound


class Clock:
    """When the next sample is due, and whether there is silence before it.

    Args:
        end: Second at which the container ends; None if it does not say.
        may_jump: Whether the format's clock may jump.
        warn: Called for a gap that does not become silence.
    """

    def __init__(self, end: float | None, may_jump: bool, warn: Warn) -> None:
        self._end, self._may_jump, self._warn = end, may_jump, warn
        self._due, self._shift = 0.0, 0.0
        self._has_warned = self._has_begun = False

    def begin(self, first: float | None, start: float) -> float:
        """The second at which samples begin, if they are wanted from `start` and the first one has
        the time `first`; before it there is silence."""
        self._due = start if first is None else min(first, start)
        return self._due

    def is_late(self, time: float | None) -> bool:
        """Whether samples come later than they are due, by their time in seconds."""
        if time is None:
            return False
        if time - self._shift < self._due - JUMP:
            self._shift = time - self._due  # the clock has started again
        return time - self._shift > self._due + TOLERANCE

    def silence(self, time: float, following: float | None) -> float:
        """Seconds of silence before samples that come late.

        Args:
            time: Their time.
            following: Time of the samples after them; if it is not later, `time` is damaged.
        """
        gap = time - self._shift - self._due
        if following is not None and following <= time:
            return 0.0
        if not self._is_credible(gap):
            if not self._has_warned:
                self._warn(f"its clock jumps by {gap:.4g} s, which is not heard as silence")
            self._has_warned = True
            self._shift += gap
            return 0.0
        self._due += gap
        return gap

    def passes(self, seconds: float) -> None:
        """Advance by samples of this length."""
        self._due += seconds
        self._has_begun = True

    def ends(self, end: float) -> None:
        """No more samples come; a warning says if many are missing to a second `end`."""
        if end - self._due > max(MISSING, MISSING_PART * end):
            self._warn(f"ends at {self._due:.1f} s, before its header says ({end:.1f} s)")

    def _is_credible(self, gap: float) -> bool:
        if self._may_jump and self._has_begun:
            return gap <= JUMP
        if self._end is None:
            return gap <= LONGEST
        return gap <= DAY and self._due + gap <= self._end + TOLERANCE
