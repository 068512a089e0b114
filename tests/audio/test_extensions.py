"""Suffixes: all that FFmpeg's demuxers list, but for those that hold no sound of their own."""

from importlib.resources import files
from pathlib import Path

import av
import pytest

from audiotag.audio.extensions import AUDIO_EXTENSIONS, HEAD, is_recording
from tests.support.audio_files import DAMAGED, noise, write

SAMPLES = Path(str(files("audiotag") / "assets" / "samples"))
BY_SUFFIX = {".aac", ".mts"}  # what begins as they do may be anything
LEFT_OUT = {
    "pictures": "avif heic heif gif j2k jxl mj2 mjpeg mjpg mpo flm ser",
    "subtitles and text": "adf ans aqt art asc diz ice idf mcc mks mpl2 nfo pjs rt sami idx scc smi"
    " stl sub sup txt vt vtt webvtt ass srt lrc jss",
    "playlists, scripts and manifests": "apl avs cgi ism sbg sdp m3u8 ffconcat",
    "video without sound": "264 265 266 apv avc avs2 avs3 bitpacked cdg cdxl cif evc h261 h263 h264"
    " h265 h266 h26l hevc imx ipu obu qcif rcv rgb v210 vc1 vvc xmv y4m yuv yuv10 xl ivf drc vc2",
    "samples without a header": "al sb sw ub ul uw bit",
    "mostly of something else": "ads dat dif mac nsp ss2 str svs v vb vpk",
}


def demuxed() -> set[str]:
    """Suffixes of all of FFmpeg's demuxers."""
    found = set()
    for name in av.formats_available:
        try:
            found |= av.ContainerFormat(name, "r").extensions
        except ValueError:  # it can only be written
            continue
    return {f".{suffix}" for suffix in found if suffix}


def test_every_suffix_of_ffmpeg_is_known_or_left_out_for_a_reason():
    left_out = {f".{suffix}" for suffixes in LEFT_OUT.values() for suffix in suffixes.split()}
    found = demuxed()
    assert {".flac", ".mp3", ".mka", ".sph"} <= found
    assert found - AUDIO_EXTENSIONS - left_out == set()
    assert left_out & AUDIO_EXTENSIONS == set()


def test_suffixes_that_recorders_and_phones_write_are_known():
    names = "awb 3ga m4r sph mxf thd bw64 dsf amr m4b wv ra rm qcp"
    assert {f".{name}" for name in names.split()} <= AUDIO_EXTENSIONS


@pytest.mark.parametrize("suffix", sorted(set(DAMAGED) - BY_SUFFIX))
def test_recordings_give_themselves_away(tmp_path, suffix):
    head = write(tmp_path, suffix, noise(1.0, 48_000), 48_000).read_bytes()[:HEAD]
    assert is_recording(head), head


def test_samples_give_themselves_away():
    recordings = [path for path in SAMPLES.iterdir() if path.suffix != ".md"]
    assert len(recordings) == 10
    for path in recordings:
        assert is_recording(path.read_bytes()[:HEAD]), path


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff",
        b"#!/bin/sh\n",
        b"PK\x03\x04" + bytes(12),
        b"\x89PNG\r\n\x1a\n",
        b"\x7fELF" + bytes(12),
        b"RIFF\x10\0\0\0WEBPVP8 ",
        b"\0\0\0\x1cftypavif" + bytes(4),
        b"FORM\0\0\0\0ILBM",
        "a.wav\n".encode("utf-16"),
        b"\xff\xfb\xff\xff" + bytes(12),
        b"\xff\xd8\xff\xe0\0\x10JFIF",
    ],
)
def test_what_is_no_recording_is_none(head):
    assert not is_recording(head)
