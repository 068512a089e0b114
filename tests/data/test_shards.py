"""Shards, and what makes them: order, duplicates, shares, whole files."""

import hashlib
import io
import random
import tarfile
import threading
import time

import numpy as np
import pytest
import soundfile

from audiotag.data.encoding import ENCODINGS, encode
from audiotag.data.prepare.clips import clean_key, hash_split
from audiotag.data.prepare.duplicates import RECENT, Digests, Duplicates
from audiotag.data.shards import ClipInfo, EncodedClip, ShardWriter, hash_keys, hash_sorted
from audiotag.errors import DataError
from audiotag.runtime.ordered_threads import ITEMS_AHEAD, RESULTS_AHEAD, work_ahead
from audiotag.runtime.shares import WHOLE, Share, find_share


def clip(key, data):
    info = ClipInfo(key, ("ä",), "train", 1, "a/b.wav", 0.0, 1.0)
    return EncodedClip(info, data, "flac", hashlib.sha256(data).hexdigest(), 1.0)


def test_a_shard_is_what_tarfile_would_have_written(tmp_path):
    contents = {f"clip-{size}": random.Random(0).randbytes(size) for size in (1, 512, 999)}
    with ShardWriter(tmp_path / "a.tar") as shard:
        rows = [shard.add(clip(key, data)) for key, data in contents.items()]
    written = (tmp_path / "a.tar").read_bytes()
    assert shard.size == len(written) and shard.clips == 3
    expected = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(written)) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, data in members:
            plain = tarfile.TarInfo(member.name)
            plain.size = len(data)
            tar.addfile(plain, io.BytesIO(data))
    assert expected.getvalue().startswith(written)  # tarfile fills up to a tape's record
    assert not expected.getvalue()[len(written) :].strip(b"\0")
    for row, (key, data) in zip(rows, contents.items(), strict=True):
        assert row["key"] == key
        assert written[row["offset"] :][: row["length"]] == data


def test_a_shard_that_fails_or_has_no_clip_leaves_nothing(tmp_path):
    with ShardWriter(tmp_path / "empty.tar"):
        pass
    with pytest.raises(KeyError), ShardWriter(tmp_path / "a.tar") as shard:
        shard.add(clip("a", b"x"))
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_clips_hold_16_bit_samples(encoding):
    samples = np.array([0, 1, -1, 2, -2, 0.5, 100 / 32767], np.float32)
    file = io.BytesIO(encode(samples, 16_000, encoding))
    read, rate = soundfile.read(file, dtype="int16")
    assert read.tolist() == [0, 32767, -32767, 32767, -32767, 16384, 100] and rate == 16_000


def test_hash_of_keys_does_not_depend_on_their_order():
    keys = ["b", "ä", "a", "Z_-9"]
    expected = hashlib.sha256("Z_-9\na\nb\nä".encode()).hexdigest()[:16]
    assert hash_keys(keys) == expected == hash_keys(keys[::-1]) == hash_sorted(sorted(keys))
    assert hash_keys([]) == hashlib.sha256(b"").hexdigest()[:16]


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


def test_digests_are_a_set():
    rng = random.Random(0)
    zeros = [bytes(1 + i % 3) for i in range(2 * RECENT + 9)]  # some digests end in zeros
    digests = [rng.randbytes(16 - len(end)) + end + b"rest" for end in zeros]
    ours, theirs = Digests(), set()
    for digest in digests + digests[:100]:
        assert (digest in ours) == (digest in theirs)
        ours.add(digest)
        theirs.add(digest)
    assert len(ours) == len(theirs)
    assert all(digest in ours for digest in digests)
    assert rng.randbytes(16) not in ours


def test_duplicates_by_samples_and_by_key():
    one, two = hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"2").hexdigest()
    strict, lenient = Duplicates(), Duplicates(keep=True)
    assert strict.reason("a", one) is None and lenient.reason("a", one) is None
    assert one in strict.reason("b", one) and lenient.reason("b", one) is None
    assert "key a" in strict.reason("a", two) and "key a" in lenient.reason("a", two)
    assert strict.reason("b", two) is None  # neither is there


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


def test_results_come_in_order_whoever_is_first():
    def work(number):
        time.sleep(0.002 * (number % 5))
        yield from ((number, piece) for piece in range(number % 4))

    found = list(work_ahead(work, range(40), workers=8))
    assert found == [(number, piece) for number in range(40) for piece in range(number % 4)]


def test_no_more_is_done_ahead_than_agreed():
    done = [0] * 100

    def work(number):
        for _ in range(1000):
            done[number] += 1
            yield number

    results = work_ahead(work, iter(range(100)), workers=2)
    next(results)
    time.sleep(0.1)
    assert max(done) <= RESULTS_AHEAD + 2  # one is being handed over, one was taken
    assert sum(count > 0 for count in done) <= 2 * ITEMS_AHEAD + 1
    before = threading.active_count()
    results.close()
    assert threading.active_count() == before - 2


def test_what_goes_wrong_in_a_thread_is_raised_in_its_turn():
    def work(number):
        yield number
        if number == 3:
            raise KeyError("three")

    results, taken = work_ahead(work, range(100), workers=4), []
    with pytest.raises(KeyError, match="three"):
        for result in results:
            taken.append(result)
    assert taken == [0, 1, 2, 3]
