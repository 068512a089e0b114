"""The augmentations of a recipe: each that is asked for, in the documented order."""

from audiotag.training.augment.build import build_augmentations
from audiotag.training.augment.maps import Erase, Mask, Mixup
from audiotag.training.augment.waveforms import (
    Filter,
    Gain,
    Mix,
    Noise,
    Reverb,
    Roll,
    Soften,
    Speed,
)
from audiotag.training.recipe.sections import AugmentRecipe


def test_a_plain_recipe_changes_nothing_but_the_level_by_0_db():
    built = build_augmentations(AugmentRecipe(), 32_000)
    assert built.waveform == (Gain(0.0),) and built.speed.prob == 0
    assert (built.erase, built.mask, built.mixup) == (None, None, None)


def test_each_value_of_a_recipe_reaches_its_augmentation():
    recipe = AugmentRecipe(
        roll=True,
        speed_prob=0.1,
        speed=(0.7, 1.3),
        mix_prob=0.2,
        mix_db=(-9.0, -1.0),
        mix_clips=3,
        reverb_prob=0.3,
        reverb_seconds=(0.4, 0.5),
        reverb_db=(-8.0, -2.0),
        filter_prob=0.6,
        filter_db=7.0,
        noise_prob=0.8,
        noise_db=(-50.0, -30.0),
        noise_slope=(0.0, 2.0),
        gain_db=4.0,
        quiet_prob=0.7,
        quiet_db=(-30.0, -3.0),
        erase_prob=0.9,
        time_masks=1,
        time_width=20,
        mel_masks=2,
        mel_width=10,
        mixup_alpha=0.25,
    )
    built = build_augmentations(recipe, 16_000)
    assert built.speed == Speed(prob=0.1, limits=(0.7, 1.3))
    assert built.waveform == (
        Roll(),
        Mix(prob=0.2, level_db=(-9.0, -1.0), most=3),
        Reverb(prob=0.3, seconds=(0.4, 0.5), level_db=(-8.0, -2.0), sample_rate=16_000),
        Filter(prob=0.6, range_db=7.0),
        Noise(prob=0.8, level_db=(-50.0, -30.0), slopes=(0.0, 2.0)),
        Gain(range_db=4.0),
        Soften(prob=0.7, limits_db=(-30.0, -3.0)),
    )
    assert built.erase == Erase(prob=0.9)
    assert built.mask == Mask(time_masks=1, time_width=20, mel_masks=2, mel_width=10)
    assert built.mixup == Mixup(alpha=0.25)
