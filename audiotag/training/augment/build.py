"""The augmentations of a recipe, in the order in which they are applied."""

from collections.abc import Iterator
from dataclasses import dataclass

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
    WaveformAugmentation,
)
from audiotag.training.recipe.sections import AugmentRecipe


@dataclass(frozen=True)
class Augmentations:
    """The augmentations of training clips.

    Attributes:
        speed: Draws their playing speed.
        waveform: Changes of the waveforms, in order.
        erase: Erases parts of power spectrograms; None if nothing is erased.
        mask: Masks parts of log-mel maps; None if nothing is masked.
        mixup: Blends maps and targets; None if nothing is blended.
    """

    speed: Speed
    waveform: tuple[WaveformAugmentation, ...]
    erase: Erase | None
    mask: Mask | None
    mixup: Mixup | None


def build_augmentations(recipe: AugmentRecipe, sample_rate: int) -> Augmentations:
    """The augmentations of a recipe for waveforms at a sample rate in Hz."""
    has_masks = recipe.time_masks or recipe.mel_masks
    return Augmentations(
        speed=Speed(recipe.speed_prob, recipe.speed),
        waveform=tuple(_waveform_augmentations(recipe, sample_rate)),
        erase=Erase(recipe.erase_prob) if recipe.erase_prob else None,
        mask=_mask(recipe) if has_masks else None,
        mixup=Mixup(recipe.mixup_alpha) if recipe.mixup_alpha else None,
    )


def _waveform_augmentations(
    recipe: AugmentRecipe, sample_rate: int
) -> Iterator[WaveformAugmentation]:
    if recipe.roll:
        yield Roll()
    if recipe.mix_prob:
        yield Mix(recipe.mix_prob, recipe.mix_db, recipe.mix_clips)
    if recipe.reverb_prob:
        yield Reverb(recipe.reverb_prob, recipe.reverb_seconds, recipe.reverb_db, sample_rate)
    if recipe.filter_prob:
        yield Filter(recipe.filter_prob, recipe.filter_db)
    if recipe.noise_prob:
        yield Noise(recipe.noise_prob, recipe.noise_db, recipe.noise_slope)
    yield Gain(recipe.gain_db)
    if recipe.quiet_prob:
        yield Soften(recipe.quiet_prob, recipe.quiet_db)


def _mask(recipe: AugmentRecipe) -> Mask:
    return Mask(recipe.time_masks, recipe.time_width, recipe.mel_masks, recipe.mel_width)
