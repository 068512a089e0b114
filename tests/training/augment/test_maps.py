"""Augmentation of spectrograms and maps against torchvision, torchaudio and plain loops."""

import random

import numpy as np
import pytest
import torch
import torchaudio
import torchvision
from scipy.stats import ks_2samp

from audiotag.features.log_mel import LogMel
from audiotag.training.augment.maps import Erase, Mask, Mixup


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shape", [(4, 30), (4, 1, 8, 5)])
def test_mixup_blends_waveforms_or_maps_and_targets_by_one_share(generator, shape):
    batch, targets = torch.randn(shape, generator=generator), torch.eye(4)
    blended, soft = Mixup(0.8)(batch, targets, generator)
    share = float(soft[0, 0])
    assert 0 < share < 1
    for i in range(4):
        expected = share * batch[i] + (1 - share) * batch[3 - i]
        torch.testing.assert_close(blended[i], expected)
    torch.testing.assert_close(soft, share * torch.eye(4) + (1 - share) * torch.eye(4).flip(0))


def test_shares_of_mixup_follow_the_beta_distribution(generator):
    ones, targets = torch.ones(2, 1), torch.eye(2)
    shares = [float(Mixup(0.8)(ones, targets, generator)[1][0, 0]) for _ in range(4000)]
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
    ours = np.array(list(rectangles(Erase(1.0)(torch.ones(4000, *shape), generator))))
    torch.manual_seed(0)
    one = torch.ones(1, *shape)
    draw = torchvision.transforms.RandomErasing.get_params
    theirs = np.array([draw(one, (0.02, 0.33), (0.3, 3.3), value=[0.0])[:4] for _ in range(4000)])
    assert len(ours) == 4000
    for mine, reference in zip(ours.T, theirs.T, strict=True):
        assert ks_2samp(mine, reference).pvalue > 0.001


def test_erasing_leaves_most_alone_and_the_rest_of_a_map_as_it_was(generator):
    power = torch.rand(2000, 30, 40, generator=generator) + 0.1
    erased = Erase(0.25)(power, generator)
    touched = (erased == 0).flatten(1).any(1)
    assert abs(float(touched.float().mean()) - 0.25) < 0.03
    assert torch.equal(erased[~touched], power[~touched])
    assert torch.equal(erased[erased != 0], power[erased != 0])
    assert (power > 0).all()  # the batch that came in is not changed


def test_an_erased_rectangle_is_silence_in_the_map(generator):
    front_end = LogMel(mean=0.0, std=1.0)
    power = front_end.power(torch.randn(8, 32_000, generator=generator))
    maps = front_end.from_power(Erase(1.0)(power, generator))
    assert maps.shape == (8, 1, 128, 101) and maps.min() == -100


@pytest.mark.parametrize("axis", [2, 3])
def test_masks_are_as_wide_as_torchaudio_s_and_lie_anywhere(generator, axis):
    widths = {"time_masks": 0, "time_width": 0, "mel_masks": 0, "mel_width": 0}
    widths |= {"mel_masks": 1, "mel_width": 8} if axis == 2 else {"time_masks": 1, "time_width": 8}
    maps = torch.randn(4000, 1, 20, 30, generator=generator) + 50
    found = (Mask(**widths)(maps, generator) != maps).any(1).any(4 - axis)
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
    masked = Mask(2, 10, 2, 6)(maps, generator)
    for before, after in zip(maps, masked, strict=True):
        changed = before != after
        assert changed.any()
        torch.testing.assert_close(after[changed], before.mean().expand(int(changed.sum())))
    assert torch.equal(Mask(0, 10, 0, 6)(maps, generator), maps)


@pytest.mark.parametrize("augmentation", [Erase(0.5), Mask(1, 8, 1, 8)], ids=str)
def test_draws_repeat_with_the_seed(augmentation):
    batch = torch.rand(16, 20, 30) if isinstance(augmentation, Erase) else torch.rand(16, 1, 20, 30)
    one, again, other = (
        augmentation(batch, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)
