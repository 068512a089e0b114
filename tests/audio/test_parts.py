"""Files that were joined, or have something before them, are heard to their end."""

import numpy as np
import pytest
import soxr

from tests.support.audio_files import noise, write, write_av
from tests.support.heard import RATE, as_libsndfile, heard, sound_file

FIRST, SECOND = noise(1, RATE, 2), noise(0.5, 16_000, 1, seed=1)
FORMS = [
    ("FLAC", "PCM_16"), ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("RF64", "PCM_16"),
    ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("W64", "PCM_16"), ("CAF", "PCM_16"), ("OGG", "VORBIS"),
]  # fmt: skip


@pytest.mark.parametrize("form,subtype", FORMS)
def test_joined_files(form, subtype):
    first, second = (sound_file(*one, form, subtype) for one in ((FIRST, RATE), (SECOND, 16_000)))
    heard_first = as_libsndfile(first)
    heard_second = soxr.resample(as_libsndfile(second), 16_000, RATE, "HQ")
    for files in ("11", "12", "121", "212"):
        data = b"".join(first if number == "1" else second for number in files)
        each = [heard_first if number == "1" else heard_second for number in files]
        samples, _ = heard(data)
        expected = np.concatenate(each)
        assert len(samples) == len(expected)
        np.testing.assert_allclose(samples, expected, atol=1e-5)
    part, _ = heard(first + second + first, start=1.75, duration=0.5)
    np.testing.assert_allclose(part, heard_first[RATE // 4 :][: RATE // 2], atol=1e-5)


def opus(folder, samples, rate):
    return write(folder, ".opus", samples, rate).read_bytes()


def ogg_flac(folder, samples, rate):
    write_av(folder / "sound.oga", "flac", "ogg", None, samples, rate)
    return (folder / "sound.oga").read_bytes()


def wavpack(folder, samples, rate):
    return write(folder, ".wv", samples, rate).read_bytes()


@pytest.mark.parametrize("make", [opus, ogg_flac, wavpack])
def test_joined_files_that_ffmpeg_decodes(tmp_path, make):
    first, second = make(tmp_path, FIRST, RATE), make(tmp_path, SECOND, 16_000)
    alone = [heard(first)[0], heard(second)[0]]
    assert [len(samples) for samples in alone] == [RATE, RATE // 2]
    for order in ((0, 0), (0, 1), (1, 0, 1)):
        samples, _ = heard(b"".join((first, second)[i] for i in order))
        np.testing.assert_allclose(samples, np.concatenate([alone[i] for i in order]), atol=1e-6)


@pytest.mark.parametrize("suffix", [".aac", ".mts", ".mp3", ".ac3", ".mka"])
@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_joined_streams(tmp_path, suffix, rate):
    def made(samples, rate):
        if suffix != ".ac3":
            return write(tmp_path, suffix, samples, rate).read_bytes()
        write_av(tmp_path / "sound.ac3", "ac3", "ac3", None, samples, rate)
        return (tmp_path / "sound.ac3").read_bytes()

    first, second = made(FIRST, RATE), made(noise(0.5, rate, 2, seed=1), rate)
    total = len(heard(first)[0]) + len(heard(second)[0])
    frames = 2 * 2048  # an encoder's delay, and one frame
    assert len(heard(first + second)[0]) == pytest.approx(total, abs=frames)


def test_a_flac_file_that_says_it_is_shorter():
    data = bytearray(sound_file(FIRST, RATE, "FLAC"))
    expected = as_libsndfile(bytes(data))
    fields = int.from_bytes(data[18:26], "big") >> 36 << 36
    data[18:26] = (fields | 10_000).to_bytes(8, "big")
    np.testing.assert_allclose(heard(bytes(data))[0], expected, atol=1e-6)


@pytest.mark.parametrize("frames", [10, 40, 1000])
def test_an_mp3_file_with_a_wrong_number_of_frames(frames):
    data = sound_file(FIRST, RATE, "MP3", "MPEG_LAYER_III")
    place = max(data.find(b"Xing"), data.find(b"Info")) + 8
    wrong = data[:place] + frames.to_bytes(4, "big") + data[place + 4 :]
    assert len(heard(wrong)[0]) == pytest.approx(RATE, abs=2 * 1152)


def id3(size: int, said: int | None = None) -> bytes:
    said = size if said is None else said
    return b"ID3\4\0\0" + bytes(said >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)


BEFORE = {
    "a tag": id3(500), "two tags": id3(500) + id3(20), "a tag that says it is short": id3(500, 100),
    "a tag that says it is long": id3(500, 600), "one far too long": id3(500, 2**27),
    "a tag and zeros": id3(10) + bytes(300), "zeros": bytes(4096),
    "junk": np.random.default_rng(0).bytes(777), "a byte order mark": b"\xef\xbb\xbf",
    "an answer of a server": b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("form", ["WAV", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC", "OGG", "MP3"])
def test_what_comes_before_a_file_is_passed_over(before, form):
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(form, "PCM_16")
    data = sound_file(FIRST, RATE, form, subtype)
    expected, _ = heard(data)
    np.testing.assert_allclose(heard(data)[0], as_libsndfile(data), atol=2**-14)
    samples, warnings = heard(BEFORE[before] + data)
    np.testing.assert_array_equal(samples, expected)
    assert warnings == []


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("suffix", [".m4a", ".mkv", ".webm", ".wma", ".wv"])
def test_what_comes_before_a_container_is_passed_over(tmp_path, before, suffix):
    data = write(tmp_path, suffix, FIRST, RATE).read_bytes()
    expected, _ = heard(data)
    np.testing.assert_array_equal(heard(BEFORE[before] + data)[0], expected)
