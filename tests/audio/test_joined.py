"""Files of containers that were joined by `cat` are heard to the end of the last one."""

import numpy as np
import pytest

from tests.support.audio_files import noise, write_av
from tests.support.heard import RATE, heard

# Container, codec and rate of formats whose demuxers stop where the first file ends.
FORMATS = [
    ("mp4", "aac", 48_000), ("ipod", "alac", 48_000), ("mov", "pcm_s16le", 48_000),
    ("3gp", "libopencore_amrnb", 8_000), ("f4v", "aac", 48_000), ("asf", "wmav2", 48_000),
    ("flv", "aac", 48_000), ("tta", "tta", 48_000), ("voc", "pcm_s16le", 48_000),
    ("amr", "libopencore_amrnb", 8_000), ("wtv", "mp2", 48_000), ("matroska", "flac", 48_000),
    ("webm", "libopus", 48_000),
]  # fmt: skip
# Those that read on.
OTHERS = [
    ("matroska", "pcm_s16le", 48_000), ("avi", "pcm_s16le", 48_000), ("mpegts", "ac3", 48_000),
    ("nut", "pcm_s16le", 48_000), ("sox", "pcm_s32le", 48_000), ("eac3", "eac3", 48_000),
    ("ismv", "aac", 48_000),
]  # fmt: skip
FRAME = 0.13  # s: what an encoder's delay and a block can add


def made(folder, container, codec, rate, seconds, seed):
    path = folder / f"{seed}.bin"
    write_av(path, codec, container, None, noise(seconds, rate, 1, seed), rate)
    return path.read_bytes()


@pytest.mark.parametrize("container,codec,rate", FORMATS + OTHERS)
def test_joined_containers(tmp_path, container, codec, rate):
    files = [made(tmp_path, container, codec, rate, seconds, i) for i, seconds in enumerate((2, 1))]
    alone = [heard(data)[0] for data in files]
    assert [len(samples) / RATE for samples in alone] == pytest.approx([2, 1], abs=FRAME)
    for order in ((0, 0), (0, 1), (1, 0, 1)):
        samples, warnings = heard(b"".join(files[i] for i in order))
        total = sum(len(alone[i]) for i in order)
        assert len(samples) == pytest.approx(total, abs=FRAME * RATE) and warnings == []
        expected = np.concatenate([alone[i] for i in order])
        if (container, codec, rate) in FORMATS:  # the others keep the encoder's delay
            near = np.minimum(len(samples), len(expected)) - 1
            assert np.corrcoef(samples[:near], expected[:near])[0, 1] > 0.98


def test_a_part_of_what_was_joined(tmp_path):
    first, second = (made(tmp_path, "mov", "pcm_s16le", RATE, s, s) for s in (2, 1))
    path = tmp_path / "joined.mov"
    path.write_bytes(first + second)
    whole, _ = heard(path)
    part, _ = heard(path, start=1.5, duration=1.0)
    np.testing.assert_allclose(part, whole[RATE * 3 // 2 :][:RATE], atol=1e-6)


def test_joined_recordings_of_a_browser(tmp_path):
    path = tmp_path / "sound.webm"
    write_av(path, "libopus", "webm", None, noise(2, RATE), RATE, {"live": "1"})
    data = path.read_bytes()
    assert b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" in data  # a segment without size
    samples, _ = heard(data * 3)
    assert len(samples) / RATE == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize("options", ["frag_keyframe+empty_moov", "faststart", "dash"])
def test_one_file_in_fragments_is_one(tmp_path, options):
    path = tmp_path / "sound.mp4"
    write_av(path, "aac", "mp4", None, noise(3, RATE), RATE, {"movflags": options})
    samples, warnings = heard(path)
    assert len(samples) / RATE == pytest.approx(3, abs=0.05) and warnings == []
