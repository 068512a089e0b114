"""How far the preparation of a data set, or a download for one, is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PreparationState:
    """How far a run is.

    Attributes:
        before: Recordings of the share that earlier runs have done.
        recordings: Recordings of the share that are done, `before` included.
        total: Recordings of the share.
        clips: Clips that this run has made.
        failures: Clips and recordings that it has left out.
    """

    before: int
    recordings: int
    total: int
    clips: int
    failures: int
