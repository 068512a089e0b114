"""Augmentation against torchvision, torchaudio and plain loops."""

import random

import numpy as np
import pytest
import scipy.signal
import torch
import torchaudio
import torchvision
from scipy.stats import ks_2samp

from audiotag.data import augment
from audiotag.features import LogMel


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_roll_turns_each_waveform_by_its_own_shift(generator):
    waveform = torch.randn(64, 50, generator=generator)
    rolled = augment.roll(waveform, generator)
    shifts = []
    for x, y in zip(waveform, rolled, strict=True):
        same = [i for i in range(50) if np.array_equal(np.roll(x.numpy(), i), y.numpy())]
        assert len(same) == 1
        shifts += same
    assert len(set(shifts)) > 25 and max(shifts) > 45


def test_speeds_are_uniform_and_one_else(generator):
    speeds = augment.speeds(20_000, 0.5, (0.5, 1.5), generator)
    changed = speeds[speeds != 1]
    assert abs(len(changed) / 20_000 - 0.5) < 0.015
    shares = np.histogram(changed, bins=4, range=(0.5, 1.5))[0] / len(changed)
    np.testing.assert_allclose(shares, 0.25, atol=0.02)
    assert (augment.speeds(100, 0.0, (0.5, 1.5), generator) == 1).all()


def test_mix_adds_at_the_level_asked_for_and_joins_the_targets(generator):
    waveform = torch.randn(16, 8000, generator=generator) * torch.logspace(-2, 0, 16)[:, None]
    targets = torch.eye(16)
    mixed, joined = augment.mix(waveform, targets, 1.0, (-10.0, -10.0), 2, generator)
    added = (mixed - waveform).square().mean(1) / waveform.square().mean(1)
    torch.testing.assert_close(added, torch.full((16,), 0.1), rtol=1e-3, atol=0)
    assert (joined >= targets).all() and joined.sum() > targets.sum()
    same, untouched = augment.mix(waveform, targets, 0.0, (-10.0, -10.0), 4, generator)
    assert torch.equal(same, waveform) and torch.equal(untouched, targets)


def test_mix_adds_one_clip_or_more_as_often(generator):
    waveform, targets = torch.randn(600, 4000, generator=generator), torch.eye(600)
    mixed, joined = augment.mix(waveform, targets, 1.0, (-10.0, -10.0), 4, generator)
    added = 10 * (mixed - waveform).square().mean(1) / waveform.square().mean(1)
    sounds = joined.sum(1) - 1
    # A clip is now and then its own partner, or has one twice.
    assert ((added - sounds).abs() < 0.5).float().mean() > 0.98
    assert all(abs((sounds == n).float().mean() - 1 / 3) < 0.08 for n in (1, 2, 3))


@pytest.mark.parametrize("seconds", [0.2, 0.8])
def test_a_room_s_answer_falls_by_60_db_in_its_time(generator, seconds):
    rate, waveform = 16_000, torch.zeros(4, 16_000)
    waveform[:, 0] = 0.5
    room = 1.0, (seconds, seconds), (-6.0, -6.0), rate
    answer = augment.reverberate(waveform, *room, generator) - waveform
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
    room = 1.0, (0.1, 0.4), (0.0, 0.0), 8000
    heard, response = (
        augment.reverberate(x, *room, torch.Generator().manual_seed(5)) - x
        for x in (waveform, impulse)
    )
    for x, r, y in zip(waveform.numpy(), response.numpy(), heard.numpy(), strict=True):
        expected = scipy.signal.fftconvolve(x, r)[:8000]
        assert np.corrcoef(expected, y)[0, 1] > 0.9999


def test_filter_goes_straight_from_octave_to_octave(generator):
    impulse = torch.zeros(8, 4096)
    impulse[:, 2048] = 1
    filtered = augment.equalise(impulse, 1.0, 9.0, generator).double().numpy()
    gains = 20 * np.log10(np.abs(np.fft.rfft(filtered)))
    corners = 2048 // 2 ** np.arange(augment.CORNERS)[::-1]
    octaves = np.log2(np.arange(corners[0], 2049))
    for gain in gains:
        expected = np.interp(octaves, np.log2(corners), gain[corners])
        assert np.abs(gain[corners[0] :] - expected).max() < 0.01
    assert np.abs(gains).max() <= 9.01 and gains[:, corners].std() > 4


def test_noise_and_gain_levels(generator):
    waveform = torch.randn(8, 32_000, generator=generator)
    for slopes in (augment.WHITE, (0.0, 2.0)):
        noise = augment.add_noise(waveform, 1.0, (-20.0, -20.0), slopes, generator) - waveform
        ratio = noise.square().mean(1) / waveform.square().mean(1)
        torch.testing.assert_close(ratio, torch.full((8,), 0.01), rtol=0.1, atol=0)
    change = 20 * (augment.gain(waveform, 6.0, generator)[:, 0] / waveform[:, 0]).log10()
    assert change.abs().max() <= 6.0 and change.std() > 1
    softer = 20 * (augment.soften(waveform, 1.0, (-40.0, -10.0), generator) / waveform).log10()
    assert -40.01 < softer.min() and softer.max() < -9.99 and softer[:, 0].std() > 1
    some = augment.soften(waveform, 0.5, (-40.0, -10.0), generator)
    assert 0 < (some == waveform).all(1).sum() < 8


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_of_a_colour_falls_with_frequency_by_its_slope(generator, slope):
    silence = torch.zeros(8, 32_000)
    noise = augment.add_noise(silence, 1.0, (0.0, 0.0), (slope, slope), generator)
    frequency, power = scipy.signal.welch(noise.numpy(), fs=32_000, nperseg=4096)
    heard = (frequency > 100) & (frequency < 15_000)
    fit, _ = np.polyfit(np.log(frequency[heard]), np.log(power[:, heard].mean(0)), 1)
    assert fit == pytest.approx(-slope, abs=0.05)


@pytest.mark.parametrize("shape", [(4, 30), (4, 1, 8, 5)])
def test_mixup_blends_waveforms_or_maps_and_targets_by_one_share(generator, shape):
    batch, targets = torch.randn(shape, generator=generator), torch.eye(4)
    blended, soft = augment.mixup(batch, targets, 0.8, generator)
    share = float(soft[0, 0])
    assert 0 < share < 1
    for i in range(4):
        expected = share * batch[i] + (1 - share) * batch[3 - i]
        torch.testing.assert_close(blended[i], expected)
    torch.testing.assert_close(soft, share * torch.eye(4) + (1 - share) * torch.eye(4).flip(0))


def test_shares_of_mixup_follow_the_beta_distribution(generator):
    ones, targets = torch.ones(2, 1), torch.eye(2)
    shares = [float(augment.mixup(ones, targets, 0.8, generator)[1][0, 0]) for _ in range(4000)]
    expected = np.random.default_rng(0).beta(0.8, 0.8, 4000)
    assert ks_2samp(shares, expected).pvalue > 0.01


def rectangles(erased):
    """Top, left, height and width of the zeros in each map that has any."""
    for power in erased:
        rows, columns = np.nonzero(power.numpy() == 0)
        if len(rows):
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert len(rows) == height * width  # nothing but one rectangle
            yield rows.min(), columns.min(), height, width


@pytest.mark.parametrize("shape", [(65, 120), (120, 40)])
def test_erased_rectangles_are_drawn_as_torchvision_does(generator, shape):
    ours = np.array(list(rectangles(augment.erase(torch.ones(4000, *shape), 1.0, generator))))
    torch.manual_seed(0)
    one = torch.ones(1, *shape)
    draw = torchvision.transforms.RandomErasing.get_params
    theirs = np.array([draw(one, (0.02, 0.33), (0.3, 3.3), value=[0.0])[:4] for _ in range(4000)])
    assert len(ours) == 4000
    for mine, reference in zip(ours.T, theirs.T, strict=True):
        assert ks_2samp(mine, reference).pvalue > 0.001


def test_erasing_leaves_most_alone_and_the_rest_of_a_map_as_it_was(generator):
    power = torch.rand(2000, 30, 40, generator=generator) + 0.1
    erased = augment.erase(power, 0.25, generator)
    touched = (erased == 0).flatten(1).any(1)
    assert abs(float(touched.float().mean()) - 0.25) < 0.03
    assert torch.equal(erased[~touched], power[~touched])
    assert torch.equal(erased[erased != 0], power[erased != 0])
    assert (power > 0).all()  # the batch that came in is not changed


def test_an_erased_rectangle_is_silence_in_the_map(generator):
    front_end = LogMel(mean=0.0, std=1.0)
    power = front_end.power(torch.randn(8, 32_000, generator=generator))
    maps = front_end.from_power(augment.erase(power, 1.0, generator))
    assert maps.shape == (8, 1, 128, 101) and maps.min() == -100


@pytest.mark.parametrize("axis", [2, 3])
def test_masks_are_as_wide_as_torchaudio_s_and_lie_anywhere(generator, axis):
    widths = {"time_masks": 0, "time_width": 0, "mel_masks": 0, "mel_width": 0}
    widths |= {"mel_masks": 1, "mel_width": 8} if axis == 2 else {"time_masks": 1, "time_width": 8}
    maps = torch.randn(4000, 1, 20, 30, generator=generator) + 50
    found = (augment.mask(maps, **widths, generator=generator) != maps).any(1).any(4 - axis)
    torch.manual_seed(0)
    theirs = torchaudio.functional.mask_along_axis_iid(maps, 9, 0.0, axis)  # widths below 9
    expected = (theirs == 0).any(1).any(4 - axis).sum(1)
    assert ks_2samp(found.sum(1), expected).pvalue > 0.01
    draw = random.Random(0)
    bands = [np.flatnonzero(row) for row in found.numpy() if row.any()]
    anywhere = [draw.randint(0, maps.shape[axis] - len(band)) for band in bands]
    assert ks_2samp([band[0] for band in bands], anywhere).pvalue > 0.01
    assert all(np.ptp(band) + 1 == len(band) for band in bands)


def test_a_mask_is_the_mean_of_its_map(generator):
    maps = torch.randn(6, 1, 20, 30, generator=generator)
    maps *= torch.arange(1.0, 7)[:, None, None, None]
    masked = augment.mask(maps, 2, 10, 2, 6, generator)
    for before, after in zip(maps, masked, strict=True):
        changed = before != after
        assert changed.any()
        torch.testing.assert_close(after[changed], before.mean().expand(int(changed.sum())))
    assert torch.equal(augment.mask(maps, 0, 10, 0, 6, generator), maps)


def test_draws_repeat_with_the_seed():
    maps = torch.rand(16, 1, 20, 30)
    for work in (
        lambda g: augment.erase(maps[:, 0], 0.5, g),
        lambda g: augment.mask(maps, 1, 8, 1, 8, g),
        lambda g: augment.roll(maps[:, 0, 0], g),
        lambda g: augment.reverberate(maps[:, 0, 0], 0.5, (0.1, 0.2), (-10.0, 0.0), 100, g),
        lambda g: augment.equalise(maps[:, 0, 0], 0.5, 6.0, g),
        lambda g: augment.add_noise(maps[:, 0, 0], 0.5, (-20.0, 0.0), (0.0, 2.0), g),
    ):
        one, again, other = (work(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert torch.equal(one, again) and not torch.equal(one, other)
