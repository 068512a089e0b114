"""Files that were cut short say so, whole ones do not; written here by FFmpeg and libsndfile."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from audiotag.audio.decoders import decode
from tests.support.audio_files import write_av

RATE, SECONDS = 48_000, 6
# Suffix, FFmpeg's format and codec, and its rate where that is not `RATE`.
BY_FFMPEG = [
    ("mp3", "mp3", "libmp3lame", RATE),
    ("mp2", "mp2", "mp2", RATE),
    ("aac", "adts", "aac", RATE),
    ("ac3", "ac3", "ac3", RATE),
    ("eac3", "eac3", "eac3", RATE),
    ("latm", "latm", "aac", RATE),
    ("ts", "mpegts", "aac", RATE),
    ("mpg", "vob", "mp2", RATE),
    ("avi", "avi", "mp3", 44_100),
    ("flv", "flv", "aac", 44_100),
    ("wma", "asf", "wmav2", RATE),
    ("mov", "mov", "pcm_s16le", RATE),
    ("m4a", "mp4", "aac", RATE),
    ("mkv", "matroska", "flac", RATE),
    ("opus", "ogg", "libopus", RATE),
    ("oga", "ogg", "flac", RATE),
    ("tta", "tta", "tta", RATE),
    ("voc", "voc", "pcm_s16le", RATE),
    ("mmf", "mmf", "adpcm_yamaha", 8_000),
    ("rm", "rm", "ac3", RATE),
    ("sbc", "sbc", "sbc", RATE),
    ("sox", "sox", "pcm_s32le", RATE),
    ("adx", "adx", "adpcm_adx", RATE),
    ("w64", "w64", "pcm_s16le", RATE),
    ("caf", "caf", "pcm_s16be", RATE),
]
JOINED = [row for row in BY_FFMPEG if row[0] in ("mmf", "sox", "adx", "avi")]
BY_LIBSNDFILE = [("wav", "WAV"), ("aiff", "AIFF"), ("au", "AU"), ("ogg", "OGG"), ("rf64", "RF64")]
SAYS_SO = ("is cut short: ", "may be cut short: ", "ends at ", "is damaged, and cannot be read to")


def sound(rate: int) -> np.ndarray:
    """Stereo noise over a tone, (T, 2): no codec can leave out of it what is cut off."""
    time = np.arange(SECONDS * rate) / rate
    noise = np.random.default_rng(0).normal(0, 0.05, (len(time), 2))
    return 0.3 * np.sin(2 * np.pi * 440 * time)[:, None] + noise


def by_ffmpeg(path: Path, form: str, codec: str, rate: int) -> None:
    options = {"movflags": "+faststart"} if form in ("mov", "mp4") else {}
    try:
        write_av(
            path, codec, form, None, sound(rate)[:, : 1 if form == "mmf" else 2], rate, options
        )
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this FFmpeg cannot write {codec}: {error}")


def warnings(content: bytes, suffix: str, folder: Path) -> list[str]:
    """Warnings of a file with this content."""
    path, said = folder / f"sound.{suffix}", []
    path.write_bytes(content)
    assert sum(len(mono) for _, mono in decode(path, warn=said.append)) > 0
    return said


def check(content: bytes, suffix: str, folder: Path, tail: bytes = b"") -> None:
    """The whole file says nothing, also with a tail; a part of it does."""
    assert warnings(content, suffix, folder) == []
    if tail:
        assert warnings(content + tail, suffix, folder) == []
    cut = content[: len(content) * 573 // 1000 + 7]
    (said,) = warnings(cut, suffix, folder)
    assert said.startswith(SAYS_SO)


@pytest.mark.parametrize(("suffix", "form", "codec", "rate"), BY_FFMPEG)
def test_what_ffmpeg_writes(suffix, form, codec, rate, tmp_path):
    path = tmp_path / f"whole.{suffix}"
    by_ffmpeg(path, form, codec, rate)
    id3v1 = b"TAG".ljust(128, b"\0") if form in ("mp3", "mp2", "adts") else b""
    check(path.read_bytes(), suffix, tmp_path, id3v1)


@pytest.mark.parametrize(("suffix", "form"), BY_LIBSNDFILE)
def test_what_libsndfile_writes(suffix, form, tmp_path):
    content = io.BytesIO()
    subtype = "VORBIS" if form == "OGG" else "PCM_16"
    soundfile.write(content, sound(RATE), RATE, format=form, subtype=subtype)
    check(content.getvalue(), suffix, tmp_path)


def test_how_much_is_missing_is_said_in_seconds(tmp_path):
    content = io.BytesIO()
    soundfile.write(content, sound(RATE), RATE, format="WAV", subtype="PCM_16")
    cut = content.getvalue()[: 44 + 4 * RATE * 2]  # 2 of 6 s
    said = "is cut short: 67%, 4.0 s, of what its header announces is missing"
    assert warnings(cut, "wav", tmp_path) == [said]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFDB])
def test_a_size_that_a_writer_did_not_know_says_nothing(size, tmp_path):
    """As of ffmpeg, sox and arecord, when they write into a pipe."""
    content = io.BytesIO()
    soundfile.write(content, sound(RATE), RATE, format="WAV", subtype="PCM_16")
    data = content.getvalue()
    riff = min(size + 36, 0xFFFFFFFF) if size else 0
    head = data[:4] + riff.to_bytes(4, "little") + data[8:40] + size.to_bytes(4, "little")
    assert not [text for text in warnings(head + data[44:], "wav", tmp_path) if "cut" in text]


def test_a_stream_that_was_recorded_from_the_middle_may_be_cut(tmp_path):
    """All pages are whole, but none is the last."""
    content = io.BytesIO()
    soundfile.write(content, sound(RATE), RATE, format="OGG", subtype="VORBIS")
    data = content.getvalue()
    cut = data[: data.rindex(b"OggS")]
    assert warnings(cut, "ogg", tmp_path) == ["may be cut short: no page says that it is the last"]


@pytest.mark.parametrize("form", ["ogg", "opus", "oga"])
def test_a_page_that_is_lost_is_said_and_what_follows_keeps_its_time(form, tmp_path):
    """A click at 4 s is there still, though a page before it is missing."""
    path, codec = tmp_path / f"sound.{form}", {"opus": "libopus", "oga": "flac"}
    values = np.random.default_rng(0).normal(0, 0.01, (SECONDS * RATE, 2))
    values[4 * RATE :][:480] += 0.8
    if form == "ogg":
        soundfile.write(path, values, RATE, format="OGG", subtype="VORBIS")
    else:
        write_av(path, codec[form], "ogg", None, values, RATE)
    data = path.read_bytes()
    places = [i for i in range(len(data)) if data.startswith(b"OggS", i)]
    lost = len(places) // 3
    path.write_bytes(data[: places[lost]] + data[places[lost + 1] :])
    said: list[str] = []
    mono = np.concatenate([mono for _, mono in decode(path, warn=said.append)])
    assert said == ["is damaged: 1 of its pages is missing"]
    assert np.argmax(np.abs(mono)) / RATE == pytest.approx(4.0, abs=0.03)
    assert len(mono) / RATE == pytest.approx(SECONDS, abs=0.05)


@pytest.mark.parametrize(("suffix", "form", "codec", "rate"), JOINED)
def test_joined_files_that_say_their_size_are_heard_one_after_another(
    suffix, form, codec, rate, tmp_path
):
    path = tmp_path / f"one.{suffix}"
    by_ffmpeg(path, form, codec, rate)
    one = sum(len(mono) for _, mono in decode(path))
    path.write_bytes(2 * path.read_bytes())
    said: list[str] = []
    assert sum(len(mono) for _, mono in decode(path, warn=said.append)) == 2 * one
    assert said == []
