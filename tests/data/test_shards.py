"""Shards: their bytes, the encoding of their clips, the hash of their keys."""

import hashlib
import io
import random
import tarfile

import numpy as np
import pytest
import soundfile

from audiotag.data.encoding import ENCODINGS, encode
from audiotag.data.shards import ClipInfo, EncodedClip, ShardWriter, hash_keys, hash_sorted


def clip(key, data):
    info = ClipInfo(key, ("ä",), "train", 1, None, "a/b.wav", 0.0, 1.0)
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
