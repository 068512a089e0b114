"""Decoding and resampling against signals computed independently of the code."""

import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import soundfile
import soxr

from audiotag.audio import decoders, extensions, sources
from audiotag.audio.extensions import AUDIO_EXTENSIONS
from audiotag.audio.ffmpeg import with_pyav
from audiotag.audio.sources import DecodeError
from audiotag.audio.streams import decode_bytes, read, stream
from audiotag.errors import AudioError
from tests.support.audio_files import (
    LOSSLESS_CASES,
    LOSSY_CASES,
    RATE,
    SEEKABLE,
    chirp,
    fitted,
    lag,
    noise,
    sine,
    write,
)


@pytest.mark.parametrize("suffix,subtype,step,rate,channels", LOSSLESS_CASES)
def test_lossless_formats_give_the_mean_of_the_channels(
    tmp_path, suffix, subtype, step, rate, channels
):
    original = sine(0.6, rate, channels)
    result = read(write(tmp_path, suffix, original, rate, subtype), RATE)
    expected = soxr.resample(original.mean(axis=1), rate, RATE, "HQ")
    assert result.dtype == np.float32
    assert abs(len(result) - len(expected)) <= 1
    count = min(len(result), len(expected))
    assert np.abs(result[:count] - expected[:count]).max() < 1.5 * step + 2e-6


@pytest.mark.parametrize("suffix,rate,channels", LOSSY_CASES)
def test_lossy_formats_keep_pitch_level_and_length(tmp_path, suffix, rate, channels):
    original = sine(1.0, rate, channels)
    result = read(write(tmp_path, suffix, original, rate), RATE)
    amplitude, rest = fitted(result, RATE)
    expected = np.abs(original.mean(axis=1)).max()
    assert amplitude == pytest.approx(expected, rel=0.07)  # LAME itself takes 5 % off
    assert rest < 0.06 * expected  # the noise of FFmpeg's AAC encoder
    assert len(result) == pytest.approx(RATE, abs=RATE * 2 * 2048 / rate)  # padded to frames


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_miniaudio_and_libsndfile_give_the_same(tmp_path, subtype, channels):
    pytest.importorskip("miniaudio")
    path = write(tmp_path, ".flac", noise(1.0, RATE, channels), RATE, subtype)
    for source, part in product((path, path.read_bytes()), ((0.0, np.inf), (0.3, 0.4))):
        ((rate, samples),) = decoders.with_miniaudio(source, *part)
        ((_, expected),) = decoders.with_soundfile(source, *part)
        assert rate == RATE
        np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("by", ["libsndfile", "FFmpeg"])
def test_miniaudio_and_ffmpeg_give_the_same_of_mp3(tmp_path, rate, channels, by):
    pytest.importorskip("miniaudio")
    path, original = tmp_path / "sound.mp3", noise(1.0, rate, channels)
    if by == "FFmpeg":
        write(tmp_path, ".mp3", original, rate)
    else:
        soundfile.write(path, original, rate)
    for source, part in product((path, path.read_bytes()), ((0.0, np.inf), (0.32, 0.4))):
        ((found, samples),) = decoders.with_miniaudio(source, *part)
        expected = np.concatenate([mono for _, mono in with_pyav(source, *part)])
        assert found == rate and len(samples) == len(expected)
        np.testing.assert_allclose(samples, expected, atol=2**-14)  # rounded to 16 bits


def id3(content: bytes) -> bytes:
    """A tag at a file's beginning."""
    size = len(content)
    return b"ID3\x04\x00\x00" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + content


@pytest.mark.parametrize("tag", ["first", "last"])
def test_tags_of_an_mp3_are_not_decoded(tmp_path, tag):
    pytest.importorskip("miniaudio")
    path = tmp_path / "sound.mp3"
    soundfile.write(path, noise(1.0, RATE), RATE)
    data = path.read_bytes()
    like_frames = data[1000:4000]
    tagged = id3(like_frames) + data if tag == "first" else data + b"TAG" + bytes(125)
    ((_, samples),) = decoders.with_miniaudio(tagged, 0.0, np.inf)
    ((_, expected),) = decoders.with_miniaudio(data, 0.0, np.inf)
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("missing", ["the package", "half of the file", "room"])
def test_flac_that_miniaudio_cannot_decode_goes_to_libsndfile(
    tmp_path, monkeypatch, decoded_here, missing
):
    path = write(tmp_path, ".flac", noise(1.0, RATE), RATE)
    expected = read(path, RATE)
    if missing == "the package":
        monkeypatch.setitem(sys.modules, "miniaudio", None)
    elif missing == "room":
        monkeypatch.setattr(decoders, "SHORT_VALUES", RATE - 1)
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DecodeError):
        next(decoders.with_miniaudio(path, 0.0, np.inf))
    found = read(path, RATE)
    np.testing.assert_array_equal(found, expected[: len(found)])
    assert len(found) > 0.3 * RATE


@pytest.mark.parametrize("fault", ["half", "hole", "noise", "more"])
def test_an_mp3_that_is_not_as_long_as_it_says_goes_to_ffmpeg(tmp_path, fault):
    data = write(tmp_path, ".mp3", noise(1.0, RATE), RATE).read_bytes()
    half = len(data) // 2
    damaged = {
        "half": data[:half],
        "hole": data[:half] + data[half + 2000 :],
        "noise": data[:half] + np.random.default_rng(0).bytes(2000) + data[half + 2000 :],
        "more": data + data,
    }[fault]
    with pytest.raises(DecodeError):
        next(decoders.with_miniaudio(damaged, 0.0, np.inf))
    expected = np.concatenate([mono for _, mono in with_pyav(damaged, 0.0, np.inf)])
    np.testing.assert_array_equal(decode_bytes(damaged, RATE), expected.clip(-1, 1))


@pytest.mark.parametrize("lost", [b"Xing", b"LAME"])
def test_an_mp3_that_does_not_say_how_long_it_is_goes_to_ffmpeg(tmp_path, lost):
    path = tmp_path / "sound.mp3"
    soundfile.write(path, noise(1.0, RATE), RATE)
    data = path.read_bytes()
    assert lost in data
    silent = data.replace(lost, b"none")
    with pytest.raises(DecodeError, match="does not say how long"):
        next(decoders.with_miniaudio(silent, 0.0, np.inf))
    expected = np.concatenate([mono for _, mono in with_pyav(silent, 0.0, np.inf)])
    np.testing.assert_array_equal(decode_bytes(silent, RATE), expected.clip(-1, 1))


@pytest.mark.parametrize("suffix", [".m4a", ".mka", ".wv", ".wav", ".flac"])
def test_eight_channels(tmp_path, suffix):
    original = sine(0.5, 48_000, 8)
    result = read(write(tmp_path, suffix, original, 48_000), RATE)
    expected = np.abs(original.mean(axis=1)).max()
    assert fitted(result, RATE)[0] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("channels", [3, 5, 7, 9, 16, 100])
def test_unusual_channel_counts(tmp_path, channels):
    original = noise(0.2, RATE, channels)
    result = read(write(tmp_path, ".wav", original, RATE, "FLOAT"), RATE)
    np.testing.assert_allclose(result, original.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000, 11_127])
@pytest.mark.parametrize("block", [997, 2**20])
def test_streaming_equals_resampling_at_once(tmp_path, monkeypatch, decoded_here, rate, block):
    monkeypatch.setattr(sources, "BLOCK_VALUES", block)
    original = noise(12, rate)
    path = write(tmp_path, ".wav", original, rate, "FLOAT")
    result = np.concatenate(list(stream(path, RATE)))
    expected = soxr.resample(original[:, 0], rate, RATE, "HQ")
    assert len(result) == len(expected)
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a", ".opus"])
def test_block_size_does_not_change_the_samples(tmp_path, monkeypatch, decoded_here, suffix):
    path = write(tmp_path, suffix, noise(3, 48_000, 2), 48_000)
    monkeypatch.setattr(decoders, "SHORT_VALUES", 0)
    whole = read(path, RATE)
    monkeypatch.setattr(sources, "BLOCK_VALUES", 5_001)
    np.testing.assert_allclose(read(path, RATE), whole, atol=1e-5)


def test_equal_rates_pass_through_unchanged(tmp_path):
    original = noise(1, RATE)
    path = write(tmp_path, ".wav", original, RATE, "FLOAT")
    np.testing.assert_array_equal(read(path, RATE), original[:, 0])


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a", ".mp4", ".opus"])
def test_whole_file_is_in_time(tmp_path, suffix):
    original = chirp(3, 48_000)
    result = read(write(tmp_path, suffix, original, 48_000), 48_000)
    assert abs(lag(result, original[:, 0])) <= 2


@pytest.mark.parametrize("suffix", SEEKABLE)
@pytest.mark.parametrize("start", [0.1, 1.3, 3.777])
def test_a_part_is_that_part(tmp_path, suffix, start):
    path = write(tmp_path, suffix, chirp(6, 48_000), 48_000)  # AAC makes up its noise anew
    whole, part = read(path, 48_000), read(path, 48_000, start, duration=1.0)
    begin = round(start * 48_000)
    assert len(part) == 48_000
    # A lossy decoder that was not warmed up is off by 0.1 at the beginning.
    np.testing.assert_allclose(part, whole[begin : begin + 48_000], atol=2e-3)


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".mts"])
@pytest.mark.parametrize("start", [0.1, 1.3, 3.777])
def test_a_part_where_times_are_coarse(tmp_path, suffix, start):
    path = write(tmp_path, suffix, chirp(6, 48_000), 48_000)
    whole, part = read(path, 48_000), read(path, 48_000, start, duration=1.0)
    begin = round(start * 48_000)
    assert len(part) == 48_000
    assert abs(lag(part, whole[begin : begin + 48_000])) <= 60  # Matroska's times are whole ms


@pytest.mark.parametrize("suffix", SEEKABLE)
def test_rest_of_a_file(tmp_path, suffix):
    path = write(tmp_path, suffix, chirp(3, 48_000), 48_000)
    whole, rest = read(path, RATE), read(path, RATE, start=1.5)
    assert abs(len(rest) - (len(whole) - 48_000)) <= 2


def test_part_beyond_the_end(tmp_path):
    path = write(tmp_path, ".flac", chirp(1, RATE), RATE)
    with pytest.raises(AudioError, match=r"sound\.flac: holds no audio samples from 5.0 s on"):
        read(path, RATE, start=5.0)


@pytest.mark.parametrize("start,duration", [(-1.0, None), (0.0, 0.0), (0.0, -1.0)])
def test_impossible_part(tmp_path, start, duration):
    path = write(tmp_path, ".wav", chirp(1, RATE), RATE)
    with pytest.raises(ValueError, match="must not be negative"):
        read(path, RATE, start, duration)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a", ".opus", ".mp4"])
def test_bytes_decode_like_the_file(tmp_path, suffix):
    path = write(tmp_path, suffix, noise(1, 48_000, 2), 48_000)
    np.testing.assert_array_equal(decode_bytes(path.read_bytes(), RATE), read(path, RATE))


def test_seeking_bytes_before_their_beginning():
    assert sources.Bytes(b"sound").seek(-1) == 0


def test_empty_bytes():
    with pytest.raises(AudioError, match="audio data: the file is empty"):
        decode_bytes(b"", RATE)


NAMES = ["with space.wav", "ünïcode 音.wav", "a:b.wav", "http:x.wav", "100%d?#'.wav", "-n.wav"]


@pytest.mark.parametrize("name", [*NAMES, os.fsdecode(b"latin-\xe9.wav")])
@pytest.mark.parametrize("suffix", [".wav", ".m4a"])
def test_names_mean_nothing_to_the_decoders(tmp_path, monkeypatch, name, suffix):
    write(tmp_path, suffix, sine(0.3, 48_000), 48_000).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)  # where a relative name could pass for an address or an option
    assert len(read(name, RATE)) >= 0.3 * RATE


def test_relative_path_and_str(tmp_path, monkeypatch):
    write(tmp_path, ".mp3", sine(0.3, 48_000), 48_000)
    monkeypatch.chdir(tmp_path)
    assert len(read("sound.mp3", RATE)) == pytest.approx(0.3 * RATE, abs=2)


@pytest.mark.parametrize("suffix,wrong", [(".mp3", ".wav"), (".m4a", ".flac"), (".flac", ".mp3")])
def test_wrong_extension(tmp_path, suffix, wrong):
    path = write(tmp_path, suffix, sine(0.5, 48_000), 48_000)
    expected = read(path, RATE)
    np.testing.assert_array_equal(read(path.rename(path.with_suffix(wrong)), RATE), expected)


def test_extensions_cover_sound_and_video():
    assert {".wav", ".mp3", ".opus", ".mp4", ".mkv", ".webm", ".mov", ".avi"} <= AUDIO_EXTENSIONS
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in AUDIO_EXTENSIONS)


def test_import_is_light():
    code = "import sys, audiotag.audio.streams; sys.exit(bool({'torch', 'av'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_real_recordings(test_data):
    paths = [*(test_data / "clips").iterdir(), *sorted((test_data / "esc10/audio").iterdir())[::20]]
    for path in paths:
        if path.suffix in extensions.AUDIO_EXTENSIONS:
            samples, info = read(path, RATE), soundfile.info(path)
            assert len(samples) == pytest.approx(info.duration * RATE, abs=1)
            assert 0 < np.abs(samples).max() <= 1
