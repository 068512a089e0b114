"""Files that were joined, or have something before them, are heard to their end."""

import av
import numpy as np
import pytest
import soxr

from audiotag.audio.decoders import decode
from tests.support.audio_files import encoder_frames, fitted, noise, sine, write, write_av
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


BITRATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # kbit/s


def mp3(folder, has_header=True) -> tuple[bytes, list[bytes]]:
    """A tag, and the frames of 3 s of an MP3 file at 44.1 kHz and a constant rate."""
    options = {} if has_header else {"write_xing": "0"}
    tone = sine(3, 44_100, 2)
    with av.open(str(folder / "sound.mp3"), "w", format="mp3", options=options) as output:
        sound = output.add_stream("libmp3lame", rate=44_100, layout="stereo")
        sound.bit_rate = 128_000
        for frame in encoder_frames(sound.codec_context, tone, 44_100, "stereo"):
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    data = (folder / "sound.mp3").read_bytes()
    place = 10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    tag, frames = data[:place], []
    while place < len(data):
        size = 144_000 * BITRATES[data[place + 2] >> 4] // 44_100 + (data[place + 2] >> 1 & 1)
        frames.append(data[place : place + size])
        place += size
    return tag, frames


@pytest.mark.parametrize("has_header", [True, False])
@pytest.mark.parametrize("place", ["path", "bytes", "after two tags"])
def test_mp3_files_of_free_bit_rate(tmp_path, has_header, place):
    pytest.importorskip("miniaudio")
    tag, frames = mp3(tmp_path, has_header)
    expected, _ = heard(tag + b"".join(frames))
    free = tag + b"".join(f[:2] + bytes([f[2] & 15]) + f[3:] for f in frames)
    path = tmp_path / "free.mp3"
    path.write_bytes(free)
    source = {"path": path, "bytes": free, "after two tags": id3(50) + free}[place]
    samples, _ = heard(source)
    assert len(samples) == len(expected)
    np.testing.assert_allclose(samples, expected, atol=2**-13)
    part, _ = heard(source, start=1.0, duration=0.5)
    np.testing.assert_allclose(part[500:-500], expected[RATE:][: RATE // 2][500:-500], atol=1e-3)


@pytest.mark.parametrize("size", [100, 5_000, 100_000])
@pytest.mark.parametrize("kind", ["zeros", "noise"])
def test_junk_before_the_frames_of_an_mp3(tmp_path, size, kind):
    _, frames = mp3(tmp_path, has_header=False)
    expected, _ = heard(b"".join(frames))
    junk = bytes(size) if kind == "zeros" else np.random.default_rng(0).bytes(size)
    np.testing.assert_array_equal(heard(junk + b"".join(frames))[0], expected)


@pytest.mark.parametrize("has_header", [True, False])
def test_pictures_that_hold_frames_are_no_sound(tmp_path, has_header):
    tag, frames = mp3(tmp_path, has_header)
    expected, _ = heard(tag + b"".join(frames))
    picture = b"".join(frames[:60])
    size = len(picture)
    head = b"ID3\3\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    np.testing.assert_array_equal(heard(head + picture + b"".join(frames))[0], expected)


def test_sync_that_is_lost_costs_what_is_damaged(tmp_path):
    _, frames = mp3(tmp_path, has_header=False)
    whole, _ = heard(b"".join(frames))
    noise_between = np.random.default_rng(0).bytes(3000)
    lost, _ = heard(b"".join([*frames[:50], noise_between, *frames[50:]]))
    assert len(lost) == pytest.approx(len(whole), abs=3 * 1254)  # frames, at 48 kHz
    assert fitted(lost[:RATE], RATE)[0] == pytest.approx(fitted(whole, RATE)[0], rel=0.01)


@pytest.mark.parametrize("form,subtype", [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("AU", "PCM_16")])
def test_a_file_of_any_number_of_files_is_bounded(form, subtype, tmp_path, monkeypatch):
    monkeypatch.setattr("audiotag.audio.parts.MOST_PARTS", 5)
    path = tmp_path / "many.bin"
    path.write_bytes(8 * sound_file(noise(0.25, RATE), RATE, form, subtype))
    said: list[str] = []
    heard_of_it = sum(len(mono) for _, mono in decode(path, warn=said.append))
    assert heard_of_it == 5 * round(0.25 * RATE)
    assert said == ["consists of more than 5 files in a row; the others are not heard"]
