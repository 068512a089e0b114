"""The progress of preparing a data set, or of a download for one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PreparationState:
    """The progress of a run.

    Attributes:
        before: Recordings of the share done by earlier runs.
        recordings: Recordings of the share that are done, `before` included.
        total: Recordings of the share.
        clips: Clips that this run has made.
        failures: Clips and recordings that this run has left out.
    """

    before: int
    recordings: int
    total: int
    clips: int
    failures: int
