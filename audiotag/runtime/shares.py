"""Shares of the work: the part that one of several processes or machines does."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from audiotag.errors import DataError

VARIABLES = (  # number of this process, number of all
    ("RANK", "WORLD_SIZE"),  # torchrun
    ("SLURM_PROCID", "SLURM_NTASKS"),  # srun
    ("JOB_COMPLETION_INDEX", "JOB_COMPLETION_COUNT"),  # an indexed Kubernetes job
)


@dataclass(frozen=True)
class Share:
    """One of `count` shares of nearly equal size; `index` counts from 0.

    Raises:
        DataError: If there is no such share.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise DataError(
                f"there is no share {self.index} of {self.count}: "
                f"the first is 0, the last {self.count - 1}"
            )

    def span(self, size: int) -> tuple[int, int]:
        """The first of this share's positions in a list of `size`, and the one after its last."""
        return size * self.index // self.count, size * (self.index + 1) // self.count


WHOLE = Share()


def find_share(environment: Mapping[str, str] = os.environ) -> Share:
    """The share that a launcher's environment variables name; all of the work if none is set.

    Raises:
        DataError: If there is no such share, or the values are not whole numbers.
    """
    for index, count in VARIABLES:
        if index in environment and count in environment:
            try:
                return Share(int(environment[index]), int(environment[count]))
            except ValueError as error:
                raise DataError(f"{index} and {count} must be whole numbers: {error}") from error
    return WHOLE
