"""How often, and at which hours, something is done about events."""

import re
from dataclasses import dataclass
from datetime import datetime, time

HOURS = re.compile(r"(\d\d?):(\d\d)-(\d\d?):(\d\d)")


@dataclass(frozen=True)
class QuietHours:
    """Local hours in which nothing is done, such as 22:00 to 06:30.

    Attributes:
        begin: The first minute.
        end: The minute after the last.
    """

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> "QuietHours":
        """The hours in a text such as "22:00-06:30".

        Raises:
            ValueError: It is not of this form.
        """
        match = HOURS.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            begin, end = (time(int(match[i]), int(match[i + 1])) for i in (1, 3))
            return cls(begin, end)
        except ValueError:
            raise ValueError(f"{text!r} is not of the form 22:00-06:30") from None

    def include(self, moment: datetime) -> bool:
        """Whether a moment is in these hours."""
        now = moment.astimezone().time()
        if self.begin <= self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end


class Limits:
    """Says which events something is done about.

    Args:
        every: Seconds from one event of a source's label to the next that counts.
        quiet: Hours in which none counts.
    """

    def __init__(self, every: float = 0.0, quiet: QuietHours | None = None) -> None:
        self._every, self._quiet = every, quiet
        self._last: dict[tuple[str, str], datetime] = {}

    def allow(self, source: str, label: str, start: datetime) -> bool:
        """Whether an event counts that begins now; the next one is measured from it if so."""
        if self._quiet is not None and self._quiet.include(start):
            return False
        last = self._last.get((source, label))
        # A clock that was set back must not silence a label for hours.
        if last is not None and 0 <= (start - last).total_seconds() < self._every:
            return False
        self._last[source, label] = start
        return True
