"""Floating-point recordings keep their shape, whatever their scale, and in spite of damage."""

import numpy as np
import pytest

from audiotag.audio.in_memory import as_input
from tests.support.audio_files import RATE as MODEL_RATE
from tests.support.audio_files import encoder_frames, noise
from tests.support.heard import RATE, heard, sound_file

SOUND = noise(2, RATE)[:, 0].astype(np.float64)
SOUND /= np.abs(SOUND).max()  # a peak of 1
GAINS = [0.9, 1.0, 1.2, 4.0, 100.0, 32_767.0, 2.0**31]
FORMS = [("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("AIFF", "FLOAT"), ("CAF", "FLOAT")]
FORMS += [("W64", "FLOAT"), ("AU", "DOUBLE"), ("RF64", "FLOAT")]


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("form,subtype", FORMS)
def test_a_recording_beyond_full_scale_is_scaled_by_its_peak(gain, form, subtype):
    samples, warnings = heard(sound_file(SOUND * gain, RATE, form, subtype))
    np.testing.assert_allclose(samples, SOUND * min(gain, 1.0), atol=1e-6)
    assert warnings == []


@pytest.mark.parametrize("gain", GAINS)
def test_an_array_beyond_full_scale_is_scaled_too(gain):
    samples, _ = heard(as_input((SOUND * gain).astype(np.float32), RATE))
    np.testing.assert_allclose(samples, SOUND * min(gain, 1.0), atol=1e-6)


@pytest.mark.parametrize("codec,suffix", [("pcm_f32le", ".mka"), ("pcm_f64le", ".mov")])
def test_other_containers_with_floats(tmp_path, codec, suffix):
    av = pytest.importorskip("av")
    path = tmp_path / f"sound{suffix}"
    with av.open(str(path), "w") as output:
        sound = output.add_stream(codec, rate=RATE, layout="mono")
        for frame in encoder_frames(sound.codec_context, 4 * SOUND[:, None], RATE, "mono"):
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    np.testing.assert_allclose(heard(path)[0], SOUND, atol=1e-6)


def test_the_peak_is_that_of_the_file_wherever_it_comes():
    quiet, loud = 0.1 * SOUND, 4.0 * SOUND
    whole = np.concatenate([*[quiet] * 12, loud, SOUND])  # more than a block
    data = sound_file(whole, RATE, "WAV", "FLOAT")
    np.testing.assert_allclose(heard(data)[0], whole / 4, atol=1e-6)
    part, _ = heard(data, start=1.0, duration=1.0)
    np.testing.assert_allclose(part, whole[RATE : 2 * RATE] / 4, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -3e38])
@pytest.mark.parametrize("gain", [0.5, 1.0, 4.0, 32_767.0])
def test_a_damaged_sample_becomes_silence_and_scales_nothing(value, gain):
    damaged = SOUND * gain
    damaged[1000] = value
    expected = SOUND * min(gain, 1.0)
    expected[1000] = 0.0
    samples, (warning,) = heard(sound_file(damaged, RATE, "WAV", "FLOAT"))
    np.testing.assert_allclose(samples, expected, atol=1e-6)
    assert "damaged samples" in warning


def test_a_run_of_garbage_scales_nothing():
    damaged = SOUND.astype(np.float32)
    damaged[5000:5200] = np.frombuffer(np.random.default_rng(1).bytes(800), np.float32)
    samples, (warning,) = heard(sound_file(damaged, RATE, "WAV", "FLOAT"))
    np.testing.assert_allclose(samples[5200:], SOUND[5200:], atol=1e-6)
    assert "damaged samples" in warning


def test_the_levels_of_a_whole_number_file_stay():
    samples, _ = heard(sound_file(0.3 * SOUND, RATE, "WAV", "PCM_24"))
    np.testing.assert_allclose(samples, 0.3 * SOUND, atol=2**-22)


def test_lossy_files_that_overshoot_are_clipped_as_by_players():
    loud = np.sign(np.sin(2 * np.pi * 440 * np.arange(MODEL_RATE) / MODEL_RATE))
    samples, warnings = heard(sound_file(loud, MODEL_RATE, "OGG", "VORBIS"))
    assert np.abs(samples).max() == 1.0 and warnings == []
    assert np.median(np.abs(samples)) > 0.95  # the overshoot scales nothing
