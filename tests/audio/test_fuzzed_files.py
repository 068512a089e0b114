"""Files with random damage: decoded or refused with a reason, none of them a bug."""

import re

import pytest

from tests.support.fuzz import LONGEST, RATE, decode, intact_files

COUNT = 200
# As an exception's name would begin a reason.
BUG = re.compile(r"\((?!Error)[A-Za-z]+(Error|Exception)\b")


@pytest.mark.slow
def test_fuzzed_files(tmp_path, helpers):
    intact = intact_files(tmp_path)
    outcomes = [decode(seed, intact, tmp_path) for seed in range(COUNT)]
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    assert COUNT // 5 < len(failed) < COUNT
    assert not [error for error in failed if BUG.search(error) or "crashed" in error]
    assert not [error for error in failed if "progress" in error or "\n" in error]
    assert max(outcome.samples for outcome in outcomes) < LONGEST * RATE
