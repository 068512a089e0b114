"""Codecs that are seldom in a container are heard in it."""

import pytest

from tests.support.audio_files import fitted, sine, write_av
from tests.support.heard import RATE, heard

COMPRESSED = (
    "libmp3lame mp2 ac3 flac adpcm_ms adpcm_ima_wav adpcm_yamaha g722 pcm_mulaw pcm_alaw wmav2"
).split()
CASES = [
    *(("wav", codec) for codec in [*COMPRESSED, "eac3", "pcm_s64le"]),
    *(("w64", codec) for codec in COMPRESSED),
    *(("avi", codec) for codec in [*COMPRESSED, "aac", "eac3", "libopencore_amrnb"]),
    *(("aiff", codec) for codec in ("adpcm_ima_qt", "pcm_mulaw", "pcm_alaw", "pcm_f32be")),
    *(("caf", codec) for codec in ("alac", "ac3", "flac", "adpcm_ima_qt", "pcm_mulaw")),
    *(("mov", codec) for codec in ("libmp3lame", "ac3", "alac", "adpcm_ima_qt", "pcm_s24be")),
    *(("matroska", codec) for codec in ("libmp3lame", "mp2", "alac", "tta", "wavpack")),
]  # fmt: skip
RATES = {"g722": 16_000, "libopencore_amrnb": 8_000, "wmav2": 44_100}


@pytest.mark.parametrize("container,codec", CASES)
def test_codec_in_container(tmp_path, container, codec):
    path, rate = tmp_path / "sound.bin", RATES.get(codec, 48_000)
    write_av(path, codec, container, None, sine(2, rate, 1), rate)
    samples, warnings = heard(path)
    assert len(samples) / RATE == pytest.approx(2, abs=0.12) and warnings == []
    amplitude, rest = fitted(samples, RATE)
    assert amplitude == pytest.approx(0.8, rel=0.15) and rest < 0.1
