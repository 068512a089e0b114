"""Codecs that are seldom in a container are heard in it."""

import numpy as np
import pytest
import soxr

from tests.support.audio_files import fitted, sine, write_av
from tests.support.heard import RATE, as_libsndfile, heard, sound_file

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


@pytest.mark.parametrize(
    "form,subtype,endian",
    [("PAF", "PCM_16", "BIG"), ("PAF", "PCM_24", "LITTLE"), ("WVE", "ALAW", None),
     ("AU", "PCM_16", "LITTLE"), ("AU", "FLOAT", "LITTLE"), ("AU", "G721_32", None),
     ("NIST", "PCM_16", "LITTLE"), ("NIST", "ULAW", None), ("IRCAM", "FLOAT", "BIG"),
     ("VOC", "ULAW", None), ("SVX", "PCM_S8", None), ("AVR", "PCM_16", None)],
)  # fmt: skip
def test_formats_that_are_seldom(form, subtype, endian):
    samples = 0.5 * np.sin(np.arange(16_000) * 0.2)
    rate = 8_000 if form in ("WVE", "AVR") else 16_000
    data = sound_file(samples, rate, form, subtype, endian)
    expected = soxr.resample(as_libsndfile(data), rate, RATE, "HQ")
    heard_samples, warnings = heard(data)
    assert len(heard_samples) == pytest.approx(len(expected), abs=64) and warnings == []
    np.testing.assert_allclose(heard_samples[: len(expected) - 64], expected[:-64], atol=1e-2)


@pytest.mark.parametrize("container,codec", CASES)
def test_codec_in_container(tmp_path, container, codec):
    path, rate = tmp_path / "sound.bin", RATES.get(codec, 48_000)
    write_av(path, codec, container, None, sine(2, rate, 1), rate)
    samples, warnings = heard(path)
    assert len(samples) / RATE == pytest.approx(2, abs=0.12) and warnings == []
    amplitude, rest = fitted(samples, RATE)
    assert amplitude == pytest.approx(0.8, rel=0.15) and rest < 0.1
