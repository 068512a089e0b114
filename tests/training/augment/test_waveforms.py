"""Augmentation of waveforms against scipy and plain loops."""

import numpy as np
import pytest
import scipy.signal
import torch

from audiotag.training.augment.waveforms import (
    CORNERS,
    WHITE,
    Filter,
    Gain,
    Mix,
    Noise,
    Reverb,
    Roll,
    Soften,
    Speed,
)


def changed(augmentation, waveform, generator):
    """Waveforms (B, T) after an augmentation that leaves targets alone."""
    targets = torch.eye(len(waveform))
    after, kept = augmentation(waveform, targets, generator)
    assert kept is targets
    return after


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_roll_turns_each_waveform_by_its_own_shift(generator):
    waveform = torch.randn(64, 50, generator=generator)
    rolled = changed(Roll(), waveform, generator)
    shifts = []
    for x, y in zip(waveform, rolled, strict=True):
        same = [i for i in range(50) if np.array_equal(np.roll(x.numpy(), i), y.numpy())]
        assert len(same) == 1
        shifts += same
    assert len(set(shifts)) > 25 and max(shifts) > 45


def test_speeds_are_uniform_and_one_else(generator):
    speeds = Speed(0.5, (0.5, 1.5)).draw(20_000, generator)
    drawn = speeds[speeds != 1]
    assert abs(len(drawn) / 20_000 - 0.5) < 0.015
    shares = np.histogram(drawn, bins=4, range=(0.5, 1.5))[0] / len(drawn)
    np.testing.assert_allclose(shares, 0.25, atol=0.02)
    assert (Speed(0.0, (0.5, 1.5)).draw(100, generator) == 1).all()


def test_mix_adds_at_the_level_asked_for_and_joins_the_targets(generator):
    waveform = torch.randn(16, 8000, generator=generator) * torch.logspace(-2, 0, 16)[:, None]
    targets = torch.eye(16)
    mixed, joined = Mix(1.0, (-10.0, -10.0), 2)(waveform, targets, generator)
    added = (mixed - waveform).square().mean(1) / waveform.square().mean(1)
    torch.testing.assert_close(added, torch.full((16,), 0.1), rtol=1e-3, atol=0)
    assert (joined >= targets).all() and joined.sum() > targets.sum()
    same, untouched = Mix(0.0, (-10.0, -10.0), 4)(waveform, targets, generator)
    assert torch.equal(same, waveform) and torch.equal(untouched, targets)


def test_mix_adds_one_clip_or_more_as_often(generator):
    waveform, targets = torch.randn(600, 4000, generator=generator), torch.eye(600)
    mixed, joined = Mix(1.0, (-10.0, -10.0), 4)(waveform, targets, generator)
    added = 10 * (mixed - waveform).square().mean(1) / waveform.square().mean(1)
    sounds = joined.sum(1) - 1
    # A clip is now and then its own partner, or has one twice.
    assert ((added - sounds).abs() < 0.5).float().mean() > 0.98
    assert all(abs((sounds == n).float().mean() - 1 / 3) < 0.08 for n in (1, 2, 3))


@pytest.mark.parametrize("seconds", [0.2, 0.8])
def test_a_room_s_answer_falls_by_60_db_in_its_time(generator, seconds):
    rate, waveform = 16_000, torch.zeros(4, 16_000)
    waveform[:, 0] = 0.5
    room = Reverb(1.0, (seconds, seconds), (-6.0, -6.0), rate)
    answer = changed(room, waveform, generator) - waveform
    level = answer.square().mean(1) / waveform.square().mean(1)
    torch.testing.assert_close(10 * level.log10(), torch.full((4,), -6.0), rtol=0, atol=0.01)
    for response in answer.double().numpy():
        rest = np.cumsum(response[::-1] ** 2)[::-1]  # Schroeder's integral
        decay = 10 * np.log10(rest / rest[0])
        heard = (decay < -5) & (decay > -25)
        slope, _ = np.polyfit(np.flatnonzero(heard) / rate, decay[heard], 1)
        assert -60 / slope == pytest.approx(seconds, rel=0.1)


def test_a_room_answers_by_convolution(generator):
    waveform = torch.randn(2, 8000, generator=generator)
    impulse = torch.eye(1, 8000).repeat(2, 1)
    room = Reverb(1.0, (0.1, 0.4), (0.0, 0.0), 8000)
    heard, response = (
        changed(room, x, torch.Generator().manual_seed(5)) - x for x in (waveform, impulse)
    )
    for x, r, y in zip(waveform.numpy(), response.numpy(), heard.numpy(), strict=True):
        expected = scipy.signal.fftconvolve(x, r)[:8000]
        assert np.corrcoef(expected, y)[0, 1] > 0.9999


def test_filter_goes_straight_from_octave_to_octave(generator):
    impulse = torch.zeros(8, 4096)
    impulse[:, 2048] = 1
    filtered = changed(Filter(1.0, 9.0), impulse, generator).double().numpy()
    gains = 20 * np.log10(np.abs(np.fft.rfft(filtered)))
    corners = 2048 // 2 ** np.arange(CORNERS)[::-1]
    octaves = np.log2(np.arange(corners[0], 2049))
    for gain in gains:
        expected = np.interp(octaves, np.log2(corners), gain[corners])
        assert np.abs(gain[corners[0] :] - expected).max() < 0.01
    assert np.abs(gains).max() <= 9.01 and gains[:, corners].std() > 4


def test_noise_and_gain_levels(generator):
    waveform = torch.randn(8, 32_000, generator=generator)
    for slopes in (WHITE, (0.0, 2.0)):
        noise = changed(Noise(1.0, (-20.0, -20.0), slopes), waveform, generator) - waveform
        ratio = noise.square().mean(1) / waveform.square().mean(1)
        torch.testing.assert_close(ratio, torch.full((8,), 0.01), rtol=0.1, atol=0)
    louder = changed(Gain(6.0), waveform, generator)
    change = 20 * (louder[:, 0] / waveform[:, 0]).log10()
    assert change.abs().max() <= 6.0 and change.std() > 1
    softer = 20 * (changed(Soften(1.0, (-40.0, -10.0)), waveform, generator) / waveform).log10()
    assert -40.01 < softer.min() and softer.max() < -9.99 and softer[:, 0].std() > 1
    some = changed(Soften(0.5, (-40.0, -10.0)), waveform, generator)
    assert 0 < (some == waveform).all(1).sum() < 8


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_of_a_colour_falls_with_frequency_by_its_slope(generator, slope):
    silence = torch.zeros(8, 32_000)
    noise = changed(Noise(1.0, (0.0, 0.0), (slope, slope)), silence, generator)
    frequency, power = scipy.signal.welch(noise.numpy(), fs=32_000, nperseg=4096)
    heard = (frequency > 100) & (frequency < 15_000)
    fit, _ = np.polyfit(np.log(frequency[heard]), np.log(power[:, heard].mean(0)), 1)
    assert fit == pytest.approx(-slope, abs=0.05)


@pytest.mark.parametrize(
    "augmentation",
    [
        Roll(),
        Mix(0.5, (-10.0, 0.0), 3),
        Reverb(0.5, (0.1, 0.2), (-10.0, 0.0), 100),
        Filter(0.5, 6.0),
        Noise(0.5, (-20.0, 0.0), (0.0, 2.0)),
        Gain(6.0),
    ],
    ids=lambda augmentation: type(augmentation).__name__,
)
def test_draws_repeat_with_the_seed(augmentation):
    waveform, targets = torch.rand(16, 30), torch.eye(16)
    one, again, other = (
        augmentation(waveform, targets, torch.Generator().manual_seed(seed))[0]
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)
