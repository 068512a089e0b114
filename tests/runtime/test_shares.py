"""Shares of the work: they cover it once, and launchers say which one is a process's."""

import pytest

from audiotag.errors import DataError
from audiotag.runtime.shares import WHOLE, Share, find_share


def test_shares_cover_everything_once():
    for size in (0, 1, 7, 100):
        for count in (1, 2, 3, 8):
            spans = [Share(index, count).span(size) for index in range(count)]
            assert [i for span in spans for i in range(*span)] == list(range(size))
            assert max(b - a for a, b in spans) - min(b - a for a, b in spans) <= 1
    with pytest.raises(DataError, match="no share 3 of 3"):
        Share(3, 3)


@pytest.mark.parametrize(
    "environment,share",
    [
        ({}, WHOLE),
        ({"RANK": "1"}, WHOLE),
        ({"RANK": "1", "WORLD_SIZE": "4", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, Share(1, 4)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, Share(0, 2)),
        ({"JOB_COMPLETION_INDEX": "5", "JOB_COMPLETION_COUNT": "6"}, Share(5, 6)),
    ],
)
def test_launchers_say_which_share(environment, share):
    assert find_share(environment) == share


def test_a_launcher_that_says_nonsense():
    with pytest.raises(DataError, match="RANK and WORLD_SIZE must be whole numbers"):
        find_share({"RANK": "one", "WORLD_SIZE": "4"})
