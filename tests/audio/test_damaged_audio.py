"""Files that are not what they should be: read as far as they can be, or refused with a reason."""

import os
import stat
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from audiotag.audio.ffmpeg import with_pyav
from audiotag.audio.streams import decode_bytes, read
from audiotag.errors import AudioError
from tests.support.audio_files import DAMAGED, RATE, add_picture, mux_video, noise, sine, write
from tests.support.damage import DAMAGE_CASES, untouched


def fails(path, reason):
    with pytest.raises(AudioError) as caught:
        read(path, RATE)
    assert str(caught.value) == f"{path}: {reason}"


def test_missing_folder_empty_and_fifo(tmp_path):
    fails(tmp_path / "none.wav", "cannot be opened (No such file or directory)")
    fails(tmp_path, "is not a file")
    (tmp_path / "empty.wav").touch()
    fails(tmp_path / "empty.wav", "the file is empty")
    os.mkfifo(tmp_path / "fifo.wav")
    remedy = "give - and redirect it to standard input"
    fails(tmp_path / "fifo.wav", f"is not a file but a pipe; {remedy}")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    fails(tmp_path / "zero.wav", "is not a file")


@pytest.mark.parametrize(
    ("begin", "reason"),
    [
        (b"WAVEfmt ", "holds no audio samples"),
        (b"AVI LIST", "cannot be decoded (Invalid data found when processing input)"),
    ],
)
def test_a_header_of_millions_of_empty_pieces_is_refused(tmp_path, begin, reason):
    """Of pieces of 8 bytes each, FFmpeg would look at every one: at 300 MB, for minutes."""
    path, size = tmp_path / "zeros.wav", 50_000_000
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    path.write_bytes(b"RIFF" + struct.pack("<I", size) + begin + form + bytes(size))
    fails(path, reason)


def test_a_file_that_grows_ends_where_it_ended(tmp_path):
    """As one that a recorder writes faster than it is read."""
    path = write(tmp_path, ".mp3", noise(100.0, 48_000), 48_000)
    data = path.read_bytes()
    blocks = with_pyav(path, 0.0, np.inf)
    count = len(next(blocks)[1])
    with path.open("ab") as file:
        file.write(data)
    count += sum(len(mono) for _, mono in blocks)
    assert count == pytest.approx(100.0 * 48_000, abs=2 * 1152)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_no_permission(tmp_path):
    path = write(tmp_path, ".wav", sine(0.1, RATE), RATE)
    path.chmod(stat.S_IWUSR)
    fails(path, "cannot be opened (Permission denied)")


@pytest.mark.parametrize("suffix", [".wav", ".aiff"])
def test_no_samples(tmp_path, suffix):
    fails(write(tmp_path, suffix, np.zeros((0, 1)), RATE), "holds no audio samples")


PLAYLIST = "#EXTM3U\n#EXTINF:10,\nhttp://localhost:9/a.ts\n"


@pytest.mark.parametrize("text", ["just text\n" * 1000, PLAYLIST, "ffconcat version 1.0"])
def test_text_named_mp3(tmp_path, text):
    path = tmp_path / "text.mp3"
    path.write_text(text)
    with pytest.raises(AudioError, match=r"text\.mp3: cannot be decoded \("):
        read(path, RATE)


def test_video_without_sound(tmp_path):
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as output:
        mux_video(output, add_picture(output, "mpeg4"), 10)
    fails(path, "has no audio stream")


def with_wav_field(path: Path, offset, value) -> Path:
    """The same wav with an unsigned 32-bit field of its 44-byte header changed."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, offset, value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("rate", [1, 99, 10_000_001, 10**9])
def test_absurd_sample_rate(tmp_path, rate):
    path = with_wav_field(write(tmp_path, ".wav", noise(0.1, RATE), RATE), 24, rate)
    fails(path, f"cannot be decoded (its header gives a sample rate of {rate} Hz)")


@pytest.mark.parametrize("size", [0, 10, 2**31, 2**32 - 1])
def test_wav_of_a_recorder_that_crashed(tmp_path, size):
    path = with_wav_field(write(tmp_path, ".wav", noise(1, RATE), RATE), 40, size)
    assert len(read(path, RATE)) == RATE


@pytest.mark.parametrize("count", [0, 2**36 - 1])
def test_flac_of_unknown_or_absurd_length(tmp_path, count):
    path = write(tmp_path, ".flac", noise(2, RATE), RATE)
    expected = read(path, RATE)
    data = bytearray(path.read_bytes())
    fields = int.from_bytes(data[18:26], "big") & ~(2**36 - 1)  # of STREAMINFO
    data[18:26] = (fields | count).to_bytes(8, "big")
    path.write_bytes(data)
    np.testing.assert_array_equal(read(path, RATE), expected)
    np.testing.assert_array_equal(read(path, RATE, 1.0, 0.5), expected[RATE : RATE * 3 // 2])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_become_silence(tmp_path, value):
    samples = noise(1, 48_000, 2)
    samples[20_000:21_000, 1] = value
    result = read(write(tmp_path, ".wav", samples, 48_000, "FLOAT"), 48_000)
    expected = np.where(np.isfinite(samples).all(axis=1), samples.mean(axis=1), 0.0)
    np.testing.assert_allclose(result, expected, atol=1e-7)


@pytest.mark.parametrize("value", [1.5, -40_000.0, 3e38, 1e300])
@pytest.mark.filterwarnings("error")
def test_loud_float_files_stay_within_full_scale(tmp_path, value):
    path = write(tmp_path, ".wav", np.full((48_000, 2), value), 48_000, "DOUBLE")
    assert np.abs(read(path, RATE)).max() <= 1


def test_tags_that_are_not_utf8(tmp_path):
    path = write(tmp_path, ".wav", noise(1, 48_000), 48_000)
    tag = b"LIST" + struct.pack("<I", 16) + b"INFOINAM" + struct.pack("<I", 4) + b"caf\xe9"
    path.write_bytes(path.read_bytes() + tag)
    blocks = list(with_pyav(path, 0.0, np.inf))
    assert sum(len(mono) for _, mono in blocks) == 48_000


def test_hole_in_a_flac_costs_only_the_hole(tmp_path):
    path = write(tmp_path, ".flac", noise(3, RATE), RATE)
    whole, data = read(path, RATE), path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(3000) + data[middle + 3000 :])
    result = read(path, RATE)
    assert len(result) > 0.85 * len(whole)
    np.testing.assert_array_equal(result[:RATE], whole[:RATE])
    np.testing.assert_array_equal(result[-RATE:], whole[-RATE:])


@pytest.mark.parametrize("suffix", [".mp3", ".aac", ".mkv", ".m4a"])
def test_bad_packets_cost_only_themselves(tmp_path, suffix):
    path = write(tmp_path, suffix, noise(4, 48_000), 48_000)
    whole, data = read(path, RATE), bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(len(data) // 4, len(data) // 2, size=30):
        data[place] ^= 255
    path.write_bytes(data)
    assert len(read(path, RATE)) > 0.8 * len(whole)


@pytest.mark.parametrize(
    "suffix", [".wav", ".flac", ".ogg", ".aiff", ".mp3", ".aac", ".opus", ".webm", ".mkv", ".wma"]
)
def test_truncated_file_keeps_what_is_there(tmp_path, suffix):
    path = write(tmp_path, suffix, noise(3, 48_000), 48_000)
    whole, data = read(path, 48_000), path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    result = read(path, 48_000)
    assert len(result) > 0.3 * len(whole)  # opus comes in pages of a second
    rounding = 2**-14 if suffix == ".mp3" else 0  # the whole one is decoded to 16 bits
    np.testing.assert_allclose(result[:40_000], whole[:40_000], rtol=0, atol=rounding)


def test_enough_damaged_files():
    assert len(DAMAGE_CASES) >= 200


@pytest.mark.parametrize("suffix,damage,seed", DAMAGE_CASES)
def test_damaged_files_read_or_say_why(tmp_path, intact, capfd, suffix, damage, seed):
    rng = np.random.default_rng(seed)
    wrong = DAMAGED[seed * 7 % len(DAMAGED)]  # untouched ones have a wrong extension at least
    path = tmp_path / f"damaged{suffix if seed % 3 and damage is not untouched else wrong}"
    path.write_bytes(damage(intact[suffix], rng))
    for decoded in (lambda: read(path, RATE), lambda: decode_bytes(path.read_bytes(), RATE)):
        try:
            samples = decoded()
        except AudioError as error:
            assert damage is not untouched
            assert ": " in str(error) and "\n" not in str(error)
        else:
            assert np.isfinite(samples).all() and 0 < len(samples) < 10 * RATE
    assert capfd.readouterr() == ("", "")
