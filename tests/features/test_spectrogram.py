"""Spectrograms for the eye, compared with SciPy's and with tones whose place is known."""

import numpy as np
import pytest

from audiotag.features import spectrogram
from audiotag.features.spectrogram import BANDS, LEVELS, SpectrogramMaker, spectrogram_of

RATE = 16_000


def tone(hertz, seconds, rate=RATE):
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def mel(hertz):
    return 2595 * np.log10(1 + hertz / 700)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000, 48_000])
@pytest.mark.parametrize("hertz", [100, 440, 3_000])
def test_a_tone_lies_in_its_band(rate, hertz):
    found = spectrogram_of([tone(hertz, 3.0, rate)], rate)
    edges = np.linspace(mel(spectrogram.LOWEST), mel(rate / 2), BANDS + 2)
    expected = np.abs(edges[1:-1] - mel(hertz)).argmin()
    loudest = found.levels.astype(int).sum(axis=1).argmax()
    assert abs(loudest - expected) <= 1
    hop = round(spectrogram.STEP * rate)
    assert found.levels.shape == (BANDS, -(-3 * rate // hop)) and found.step == hop / rate


def test_loudness_is_in_decibels_below_the_loudest():
    found = spectrogram_of([tone(1_000, 2.0), 10 ** (-26 / 20) * tone(1_000, 2.0)], RATE)
    loud, faint = (found.levels[:, round(s / found.step)].max() for s in (1.0, 3.0))
    assert loud == LEVELS - 1
    assert (loud - faint) * spectrogram.RANGE / (LEVELS - 1) == pytest.approx(26, abs=3)


def test_silence_and_what_is_as_faint_is_dark():
    noise = np.random.default_rng(0).normal(0, 1e-8, RATE).astype(np.float32)
    for samples in (np.zeros(RATE, np.float32), noise):
        assert not spectrogram_of([samples], RATE).levels.any()


@pytest.mark.parametrize("sizes", [[1] * 50 + [7_950], [400] * 20, [3, 5_000, 2_997]])
def test_blocks_of_any_size_give_the_same_picture(sizes):
    samples = np.random.default_rng(1).normal(0, 0.1, sum(sizes)).astype(np.float32)
    whole = spectrogram_of([samples], RATE).levels
    assert np.array_equal(
        spectrogram_of(np.split(samples, np.cumsum(sizes)[:-1]), RATE).levels, whole
    )


@pytest.mark.parametrize("count", [0, 1, 100, 639, 641])
def test_recordings_shorter_than_a_frame_have_a_picture(count):
    found = spectrogram_of([np.full(count, 0.1, np.float32)] if count else [], RATE)
    assert found.levels.shape == (BANDS, -(-count // 640))


def test_a_long_recording_has_few_columns_in_which_short_calls_are_seen(monkeypatch):
    monkeypatch.setattr(spectrogram, "MAX_COLUMNS", 64)
    maker, calls = SpectrogramMaker(RATE), (3.0, 17.0, 41.5)
    samples = np.zeros(60 * RATE, np.float32)
    for time in calls:
        begin = round(time * RATE)
        samples[begin : begin + 800] = tone(2_000, 0.05)
    for begin in range(0, len(samples), 7_777):
        maker.add(samples[begin : begin + 7_777])
    found = maker.result()
    assert 32 <= found.levels.shape[1] <= 64
    assert found.levels.shape[1] * found.step == pytest.approx(60, abs=found.step)
    heard = np.flatnonzero(found.levels.max(axis=0) > LEVELS // 2)
    expected = sorted({int(time / found.step) for time in calls})
    assert set(expected) <= set(heard) and len(heard) <= 2 * len(expected)
