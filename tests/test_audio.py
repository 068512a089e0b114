"""Decoding, resampling and windowing against signals computed independently of the code."""

import os
import stat
import struct
import subprocess
import sys
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from audiotag import audio, decoders
from audiotag.audio import AUDIO_EXTENSIONS, decode_bytes, read, stream, windows
from audiotag.errors import AudioError

RATE = 32_000  # Hz, of what is read
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
LFE = (3, 5)  # channels of 5.1 that one format or another filters to below 120 Hz
ALL_RATES = (8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000)
# How PyAV writes a suffix: codec, container, video codec.
AV_FORMATS = {
    ".mp3": ("libmp3lame", "mp3", None),
    ".m4a": ("aac", "mp4", None),
    ".alac.m4a": ("alac", "mp4", None),
    ".aac": ("aac", "adts", None),
    ".mp4": ("aac", "mp4", "mpeg4"),
    ".mov": ("pcm_s16le", "mov", "mpeg4"),
    ".avi": ("libmp3lame", "avi", "mpeg4"),
    ".mkv": ("ac3", "matroska", "mpeg4"),
    ".u8.mov": ("pcm_u8", "mov", None),
    ".mka": ("flac", "matroska", None),
    ".opus": ("libopus", "opus", None),
    ".webm": ("libopus", "webm", None),
    ".mts": ("mp2", "mpegts", None),
    ".wma": ("wmav2", "asf", None),
    ".wv": ("wavpack", "wv", None),
}
# Exact to a quantisation step: suffix, soundfile's subtype (None: written by PyAV), step.
LOSSLESS = [
    (".wav", "PCM_U8", 2**-7), (".wav", "PCM_16", 2**-15), (".wav", "PCM_24", 2**-23),
    (".wav", "PCM_32", 2**-24), (".wav", "FLOAT", 2**-24), (".wav", "DOUBLE", 2**-24),
    (".flac", "PCM_16", 2**-15), (".flac", "PCM_24", 2**-23), (".aiff", "PCM_16", 2**-15),
    (".au", "PCM_16", 2**-15), (".caf", "PCM_16", 2**-15), (".w64", "PCM_16", 2**-15),
    (".alac.m4a", None, 2**-15), (".mov", None, 2**-15), (".mka", None, 2**-15),
    (".u8.mov", None, 2**-7),
]  # fmt: skip
# Suffix, rates its encoder takes, channel counts.
LOSSY = [
    (".ogg", ALL_RATES, (1, 2, 6)), (".mp3", ALL_RATES[:-1], (1, 2)),
    (".m4a", ALL_RATES, (1, 2, 6)), (".aac", ALL_RATES, (1, 2, 6)), (".mp4", ALL_RATES, (1, 2, 6)),
    (".avi", (22_050, 44_100, 48_000), (1, 2)), (".mkv", (32_000, 44_100, 48_000), (1, 2, 6)),
    (".opus", (8_000, 16_000, 48_000), (1, 2, 6)), (".webm", (8_000, 16_000, 48_000), (1, 2, 6)),
    (".wma", (16_000, 22_050, 32_000, 44_100, 48_000), (1, 2)),
]  # fmt: skip
LOSSLESS_CASES = [(*form, *rest) for form, *rest in product(LOSSLESS, ALL_RATES, (1, 2, 6))]
LOSSY_CASES = [(s, rate, n) for s, rates, counts in LOSSY for rate, n in product(rates, counts)]
SEEKABLE = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".mp4", ".opus", ".aac")
DAMAGED = (".wav", ".flac", ".ogg", ".aiff", ".caf", *AV_FORMATS)


def sine(seconds, rate, channels=1, frequency=440.0):
    """(T, C): a sine that is weaker in each further channel and absent from those for bass."""
    time = np.arange(round(seconds * rate)) / rate
    gains = np.array([0.8 - 0.1 * c if c not in LFE else 0.0 for c in range(channels)])
    return np.sin(2 * np.pi * frequency * time)[:, None] * gains


def chirp(seconds, rate):
    """(T, 1): a sweep, so that a shift in time shows."""
    time = np.arange(round(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * (200 * time + 150 * time**2))[:, None]


def noise(seconds, rate, channels=1, seed=0):
    values = np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    return 0.1 * values.astype(np.float32)


def write(folder: Path, suffix, samples, rate, subtype=None) -> Path:
    """Write (T, C) samples in the format of a suffix."""
    path = folder / f"sound{suffix}"
    if suffix in AV_FORMATS:
        write_av(path, *AV_FORMATS[suffix], samples, rate)
    else:
        soundfile.write(path, samples, rate, subtype=subtype)
    return path


def write_av(path, codec, container, video, samples, rate):
    layout = LAYOUTS[samples.shape[1]]
    with av.open(str(path), "w", format=container) as output:
        picture = add_picture(output, video) if video else None
        sound = output.add_stream(codec, rate=rate, layout=layout)
        sound.bit_rate = 96_000 * samples.shape[1]
        for frame in encoder_frames(sound.codec_context, samples, rate, layout):
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
        if picture:
            mux_video(output, picture, round(10 * len(samples) / rate))


def encoder_frames(context, samples, rate, layout):
    """Frames of the size and sample format an encoder wants, timed from 0."""
    packed = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    size = context.frame_size or None
    shaper = av.AudioResampler(context.format.name, layout, rate, frame_size=size)
    return [*shaper.resample(frame), *shaper.resample(None)]


def add_picture(output, codec):
    picture = output.add_stream(codec, rate=10)
    picture.width, picture.height = 64, 48
    return picture


def mux_video(output, picture, count):
    for index in range(count):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index % 255, np.uint8))
        frame.pts = index
        output.mux(picture.encode(frame))
    output.mux(picture.encode(None))


def fitted(samples, rate, frequency=440.0):
    """Amplitude of a sine in the middle half of the samples, and the RMS of what is not it."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    phase = 2 * np.pi * frequency * np.arange(len(middle)) / rate
    basis = np.stack([np.sin(phase), np.cos(phase)], axis=1)
    weights = np.linalg.lstsq(basis, middle, rcond=None)[0]
    return np.hypot(*weights), np.sqrt(np.mean((middle - basis @ weights) ** 2))


def lag(samples, reference):
    """Samples by which a signal comes after its reference."""
    size = 2 * max(len(samples), len(reference))
    product_ = np.fft.rfft(samples, size) * np.conj(np.fft.rfft(reference, size))
    peak = int(np.argmax(np.fft.irfft(product_)))
    return peak if peak < size // 2 else peak - size


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
def test_streaming_equals_resampling_at_once(tmp_path, monkeypatch, rate, block):
    monkeypatch.setattr(decoders, "BLOCK_VALUES", block)
    original = noise(12, rate)
    path = write(tmp_path, ".wav", original, rate, "FLOAT")
    result = np.concatenate(list(stream(path, RATE)))
    expected = soxr.resample(original[:, 0], rate, RATE, "HQ")
    assert len(result) == len(expected)
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a", ".opus"])
def test_block_size_does_not_change_the_samples(tmp_path, monkeypatch, suffix):
    path = write(tmp_path, suffix, noise(3, 48_000, 2), 48_000)
    whole = read(path, RATE)
    monkeypatch.setattr(decoders, "BLOCK_VALUES", 5_001)
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
    assert decoders.Bytes(b"sound").seek(-1) == 0


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
    fails(tmp_path / "fifo.wav", "is not a file")


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
    assert len(read(path, RATE)) == (RATE if size != 10 else 5)


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
def test_loud_float_files_are_clipped(tmp_path, value):
    path = write(tmp_path, ".wav", np.full((48_000, 2), value), 48_000, "DOUBLE")
    assert np.abs(read(path, RATE)).max() <= 1


def test_tags_that_are_not_utf8(tmp_path):
    path = write(tmp_path, ".wav", noise(1, 48_000), 48_000)
    tag = b"LIST" + struct.pack("<I", 16) + b"INFOINAM" + struct.pack("<I", 4) + b"caf\xe9"
    path.write_bytes(path.read_bytes() + tag)
    blocks = list(decoders.with_pyav(path, 0.0, np.inf))
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
    np.testing.assert_array_equal(result[:40_000], whole[:40_000])


def truncated(data, rng):
    return data[: rng.integers(len(data))]


def flipped(data, rng):
    values = np.frombuffer(data, np.uint8).copy()
    places = rng.integers(len(values), size=rng.choice([1, 20, 300]))
    values[places] ^= 1 << rng.integers(8, size=len(places), dtype=np.uint8)
    return values.tobytes()


def garbage_header(data, rng):
    count = int(rng.choice([4, 16, 64, 400]))
    return rng.bytes(count) + data[count:]


def extreme_header(data, rng):
    values = bytearray(data)
    for place in rng.integers(8, min(400, len(data) - 4), size=3):
        values[place : place + 4] = [b"\xff" * 4, bytes(4), b"\x7f" + b"\xff" * 3][place % 3]
    return bytes(values)


def zeroed(data, rng):
    begin, end = sorted(rng.integers(len(data), size=2))
    return data[:begin] + bytes(end - begin) + data[end:]


def hole(data, rng):
    begin = int(rng.integers(len(data)))
    return data[:begin] + data[begin + int(rng.integers(1, 3000)) :]


def all_zero(data, rng):
    return bytes(len(data))


def untouched(data, rng):
    return data


DAMAGES = (
    truncated, flipped, garbage_header, extreme_header, zeroed, hole, all_zero, untouched
)  # fmt: skip
DAMAGE_CASES = [
    (suffix, damage, seed)
    for seed, (damage, suffix) in enumerate(product((*DAMAGES, *DAMAGES[:4]), DAMAGED))
]


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """The bytes of half a second of noise in each format."""
    folder = tmp_path_factory.mktemp("intact")
    paths = {suffix: write(folder, suffix, noise(0.5, 48_000, 2), 48_000) for suffix in DAMAGED}
    return {suffix: path.read_bytes() for suffix, path in paths.items()}


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


def expected_windows(samples, size, step):
    """Start and samples of each window, from the whole recording."""
    starts = []
    for start in range(0, len(samples), step):
        if starts and starts[-1] + size == len(samples):
            break
        starts.append(max(0, min(start, len(samples) - size)))
        if start + size > len(samples):
            break
    return [(start, samples[start : start + size]) for start in starts]


@pytest.mark.parametrize("seed", range(40))
def test_windows_equal_those_of_the_whole_recording(seed):
    rng = np.random.default_rng(seed)
    rate = 10
    for _ in range(25):
        samples = rng.standard_normal(rng.integers(1, 120)).astype(np.float32)
        size, step = rng.integers(1, 50, size=2)
        cuts = np.sort(rng.integers(0, len(samples) + 1, size=rng.integers(0, 30)))
        blocks = np.split(samples, cuts)
        result = list(windows(blocks, rate, size / rate, step / rate, minimum=0.0))
        expected = expected_windows(samples, size, step)
        assert [round(window.start * rate) for window in result] == [s for s, _ in expected]
        for window, (start, part) in zip(result, expected, strict=True):
            np.testing.assert_array_equal(window.samples, part)
            assert window.end == pytest.approx((start + len(part)) / rate)


@pytest.mark.parametrize(
    "seconds,hop,starts",
    [
        (10, None, [0]),
        (10.5, None, [0, 0.5]),
        (20, None, [0, 10]),
        (25, None, [0, 10, 15]),
        (12, 2.5, [0, 2]),
        (15, 2.5, [0, 2.5, 5]),
        (25, 20, [0, 15]),
        (15, 20, [0]),
        (4, None, [0]),
    ],
)
def test_window_starts(seconds, hop, starts):
    result = list(windows([np.zeros(round(seconds * 100), np.float32)], 100, 10.0, hop))
    assert [window.start for window in result] == starts
    assert {len(window.samples) for window in result} == {min(1000, round(seconds * 100))}


def test_short_recording_is_repeated():
    samples = np.arange(70, dtype=np.float32)
    (window,) = windows([samples], 100, minimum=2.0)
    assert (window.start, window.end) == (0.0, 0.7)
    np.testing.assert_array_equal(window.samples, np.concatenate([samples] * 3)[:200])


@pytest.mark.parametrize("length,hop", [(0.0, None), (-1.0, 1.0), (1.0, 0.0), (1.0, -1.0)])
def test_windows_of_no_length_or_hop(length, hop):
    with pytest.raises(ValueError, match="at least one sample"):
        windows([], 100, length, hop)


PEAK = """
import sys
from audiotag.audio import stream, windows
count = sum(1 for _ in windows(stream(sys.argv[1], 16_000), 16_000))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(count, peak.split()[1])
"""


def windows_and_peak(path) -> tuple[int, float]:
    """Windows of a file, and the most memory a process takes to make them, in MB."""
    command = [sys.executable, "-c", PEAK, str(path)]
    count, peak = subprocess.run(command, capture_output=True, check=True).stdout.split()
    return int(count), int(peak) / 1024


def long_wav(path: Path, seconds) -> Path:
    """Silence at 8 kHz in 8 bits, as a sparse file."""
    size = 8_000 * seconds
    pcm = struct.pack("<IHHIIHH", 16, 1, 1, 8_000, 8_000, 1, 8)
    riff = struct.pack("<4sI8s", b"RIFF", size + 36, b"WAVEfmt ")
    path.write_bytes(riff + pcm + struct.pack("<4sI", b"data", size))
    os.truncate(path, 44 + size)
    return path


def long_mp3(path: Path, seconds) -> Path:
    """A minute of mp3 over and over."""
    write_av(path, "libmp3lame", "mp3", None, sine(60, 8_000), 8_000)
    path.write_bytes(path.read_bytes() * (seconds // 60))
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("make,hours", [(long_wav, 2), (long_mp3, 1)])
def test_hours_take_no_more_memory_than_two_minutes(tmp_path, make, hours):
    count, peak = windows_and_peak(make(tmp_path / "minutes", 120))
    long_count, long_peak = windows_and_peak(make(tmp_path / "hours", 3600 * hours))
    assert count == pytest.approx(12, abs=1)
    assert long_count == pytest.approx(360 * hours, abs=3)
    assert long_peak - peak < 20


def test_extensions_cover_sound_and_video():
    assert {".wav", ".mp3", ".opus", ".mp4", ".mkv", ".webm", ".mov", ".avi"} <= AUDIO_EXTENSIONS
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in AUDIO_EXTENSIONS)


def test_import_is_light():
    code = "import sys, audiotag.audio; sys.exit(bool({'torch', 'av'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_real_recordings(test_data):
    paths = [*(test_data / "clips").iterdir(), *sorted((test_data / "esc10/audio").iterdir())[::20]]
    for path in paths:
        if path.suffix in audio.AUDIO_EXTENSIONS:
            samples, info = read(path, RATE), soundfile.info(path)
            assert len(samples) == pytest.approx(info.duration * RATE, abs=1)
            assert 0 < np.abs(samples).max() <= 1
