"""FLAC and Vorbis files that go on after the end that they say are heard to their real end."""

import io
import struct

import numpy as np
import pytest

from audiotag.audio.endings import flac_goes_on, vorbis_goes_on
from tests.support.audio_files import noise, write_av
from tests.support.heard import RATE, as_libsndfile, heard, sound_file

TOTALS = (0, 1, 4096, RATE + 1, 2 * RATE, 2**36 - 1)


def with_total(data: bytes, total: int) -> bytes:
    """A FLAC file that says how many samples it has."""
    fields = int.from_bytes(data[18:26], "big") >> 36 << 36
    return data[:18] + (fields | total).to_bytes(8, "big") + data[26:]


@pytest.mark.parametrize("total", TOTALS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("tail", [b"", b"TAG" + bytes(125)], ids=["alone", "a tag"])
def test_flac_with_a_wrong_total(total, channels, tail):
    data = sound_file(noise(1, RATE, channels), RATE, "FLAC")
    samples, _ = heard(with_total(data, total) + tail)
    np.testing.assert_allclose(samples, as_libsndfile(data), atol=1e-6)


@pytest.mark.parametrize("place", [slice(8, 12), slice(12, 18), slice(26, 42)])
@pytest.mark.parametrize("byte", [b"\0", b"\xff"])
def test_flac_with_other_wrong_fields(place, byte):
    data = bytearray(sound_file(noise(1, RATE, 2), RATE, "FLAC"))
    expected = as_libsndfile(bytes(data))
    data[place] = byte * (place.stop - place.start)
    np.testing.assert_allclose(heard(bytes(data))[0], expected, atol=1e-6)


@pytest.mark.parametrize("subtype,level", [("PCM_16", 0.0), ("PCM_16", 1.0), ("PCM_24", 0.5)])
@pytest.mark.parametrize("rate", [16_000, 44_100, 96_000])
def test_where_the_last_frame_of_a_flac_file_begins(subtype, level, rate):
    import soundfile

    file = io.BytesIO()
    samples = noise(5, rate, 2)
    soundfile.write(file, samples, rate, subtype, format="FLAC", compression_level=level)
    assert flac_goes_on(file, 5 * rate) is False
    assert flac_goes_on(file, 5 * rate - 9000) is True
    assert flac_goes_on(io.BytesIO(b"fLaC" + bytes(1000)), 1) is None


def test_flac_with_blocks_of_other_sizes(tmp_path):
    path = tmp_path / "sound.flac"
    for seconds in (0.01, 3):
        write_av(path, "flac", "flac", None, noise(seconds, 44_100, 2), 44_100)
        with path.open("rb") as file:
            assert flac_goes_on(file, round(seconds * 44_100)) is False


def pages(data: bytes) -> list[bytearray]:
    """Pages of an Ogg file."""
    found, place = [], 0
    while place < len(data):
        count = data[place + 26]
        size = 27 + count + sum(data[place + 27 :][:count])
        found.append(bytearray(data[place : place + size]))
        place += size
    return found


def checked(page: bytearray) -> bytes:
    """A page with its checksum."""
    page[22:26] = bytes(4)
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    page[22:26] = crc.to_bytes(4, "little")
    return bytes(page)


def with_times(data: bytes, change) -> bytes:
    """An Ogg file whose pages say other times: `change(number, time, is_last)`."""
    all_pages = pages(data)
    for number, page in enumerate(all_pages):
        (time,) = struct.unpack_from("<q", page, 6)
        struct.pack_into("<q", page, 6, change(number, time, page is all_pages[-1]))
    return b"".join(checked(page) for page in all_pages)


LIES = {
    "the last says it is short": lambda number, time, is_last: 1000 if is_last else time,
    "the last says nothing": lambda number, time, is_last: -1 if is_last else time,
    "the last is before the start": lambda number, time, is_last: -5000 if is_last else time,
    "the last is for ever": lambda number, time, is_last: 2**62 if is_last else time,
    "all are 0": lambda number, time, is_last: 0,
    "an hour later": lambda number, time, is_last: time + 3600 * RATE * (number > 1),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("seconds", [1, 12])
@pytest.mark.parametrize("codec", ["vorbis", "opus"])
def test_ogg_pages_with_wrong_times(tmp_path, lie, seconds, codec):
    if codec == "vorbis":
        data = sound_file(noise(seconds, RATE, 2), RATE, "OGG", "VORBIS")
    else:
        write_av(tmp_path / "sound.opus", "libopus", "ogg", None, noise(seconds, RATE), RATE)
        data = (tmp_path / "sound.opus").read_bytes()
    samples, _ = heard(with_times(data, LIES[lie]))
    assert len(samples) / RATE == pytest.approx(seconds, abs=0.03)
    right = heard(data)[0]
    count = min(len(samples), len(right)) - 2000
    np.testing.assert_allclose(samples[:count], right[:count], atol=2e-3)


@pytest.mark.parametrize("seconds", [0.05, 1, 12])
def test_vorbis_files_that_are_right_do_not_go_on(seconds):
    for rate, channels in ((16_000, 1), (44_100, 2)):
        data = sound_file(noise(seconds, rate, channels), rate, "OGG", "VORBIS")
        assert not vorbis_goes_on(io.BytesIO(data))
        assert seconds < 1 or vorbis_goes_on(io.BytesIO(with_times(data, LIES["all are 0"])))
        silent = sound_file(np.zeros((round(seconds * rate), channels)), rate, "OGG", "VORBIS")
        assert not vorbis_goes_on(io.BytesIO(silent))
