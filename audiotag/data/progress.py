"""How far the making of a data set is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        before: Recordings of the share that earlier runs have done.
        recordings: Recordings of the share that are done, these included.
        total: Recordings of the share.
        clips: Clips this run has taken.
        failures: Clips and recordings it has not.
    """

    before: int
    recordings: int
    total: int
    clips: int
    failures: int
