"""What counts as one event."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EventOptions:
    """What counts as one event.

    Attributes:
        go_on: An event goes on while its score is at least this share of the threshold at which it
            begins.
        bridged: Seconds; events of a class that lie no further apart are one.
        shortest: Seconds; a shorter event is left out.

    Raises:
        ValueError: If one is out of range.
    """

    go_on: float = 0.25
    bridged: float = 1.0
    shortest: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.go_on <= 1:
            raise ValueError(f"go_on is {self.go_on}; it must be above 0, 1 at most")
        for name in ("bridged", "shortest"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} is {value}; it must be 0 or more")
