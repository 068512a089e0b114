"""Names and splits of clips, which must not depend on the machine."""

import pytest

from audiotag.data.prepare.clips import clean_key, hash_split


@pytest.mark.parametrize("key", ["_-Yä0123456", "a" * 90])
def test_safe_keys_stay(key):
    assert clean_key(key) == key


def test_other_keys_become_safe_and_stay_apart():
    names = ["../../etc/passwd", "a.b", "a_b.", "a/b", "a\\b", "", ".", "a\0b", "x" * 91, "x" * 92]
    keys = [clean_key(name) for name in [*names, "\udcff", "ü" * 90]]
    assert len(set(keys)) == len(keys)
    for key in keys:
        assert key and not set(key) & set("./\\\0 ") and len(key.encode()) <= 90


def test_a_fifth_of_the_groups_is_for_validation():
    splits = [hash_split(f"group {i}") for i in range(5000)]
    assert 0.18 < splits.count("valid") / 5000 < 0.22
    assert set(splits) == {"train", "valid"}


@pytest.mark.parametrize("percent", [0, 5, 50])
def test_the_share_for_validation_can_be_set(percent):
    splits = [hash_split(f"group {i}", percent) for i in range(5000)]
    assert splits.count("valid") / 50 == pytest.approx(percent, abs=2)
