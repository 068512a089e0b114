"""Sizes of tiny networks, and the variable that names a folder of real data."""

TEST_DATA = "AUDIOTAG_TEST_DATA"  # a folder with clips/, esc10/, teachers/
TINY = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}
TINY_LEARNER = {**TINY, "ls_init_value": 0.1}  # learns within a few steps
