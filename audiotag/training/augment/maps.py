"""Augmentation of power spectrograms and log-mel maps: erasing, masks and mixup."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

ERASED_AREA = (0.02, 0.33)  # fraction of the spectrogram (torchvision's RandomErasing defaults)
ERASED_ASPECT = (0.3, 3.3)  # frequency bins to frames
ERASING_ATTEMPTS = 10  # rectangles drawn; if none fits, the spectrogram is not changed


@dataclass(frozen=True)
class Erase:
    """Sets a rectangle of some power spectrograms (B, bins, frames) to zero.

    Random erasing (arXiv 1708.04896) with a constant value, on linear power as in arXiv 2309.13972.
    Area and aspect ratio are drawn from `ERASED_AREA` and `ERASED_ASPECT`; the logarithm of the
    aspect ratio is uniform.

    Attributes:
        prob: Chance that a spectrogram has a rectangle erased.
    """

    prob: float

    def __call__(self, power: Tensor, generator: torch.Generator) -> Tensor:
        """The spectrograms (B, bins, frames) with rectangles erased."""
        size, bins, frames = power.shape
        draws = torch.rand(4, size, ERASING_ATTEMPTS, generator=generator)
        height, width = _rectangles(draws[0], draws[1], bins * frames)
        fits = (height < bins) & (width < frames)
        first = fits.int().argmax(1, keepdim=True)  # the first attempt that fits
        top = (draws[2] * (bins - height + 1)).floor()
        left = (draws[3] * (frames - width + 1)).floor()
        top, left, height, width = (x.gather(1, first) for x in (top, left, height, width))
        chosen = torch.rand(size, 1, generator=generator) < self.prob
        chosen = chosen & fits.any(1, keepdim=True)
        rows = _between(bins, top, top + height) & chosen
        columns = _between(frames, left, left + width)
        rows, columns = (x.to(power.device) for x in (rows, columns))
        return power.masked_fill(rows.unsqueeze(2) & columns.unsqueeze(1), 0)


@dataclass(frozen=True)
class Mask:
    """Sets bands of log-mel maps to each map's mean (SpecAugment, arXiv 1904.08779).

    The width of a mask is uniform up to the largest, and so is its position.

    Attributes:
        time_masks: Number of masks in time.
        time_width: Their largest width, in frames.
        mel_masks: Number of masks in frequency.
        mel_width: Their largest width, in mel bands.
    """

    time_masks: int
    time_width: int
    mel_masks: int
    mel_width: int

    def __call__(self, maps: Tensor, generator: torch.Generator) -> Tensor:
        """The maps (B, 1, mels, frames), masked."""
        size, _, mels, frames = maps.shape
        columns = _bands(size, frames, self.time_masks, self.time_width, generator)
        rows = _bands(size, mels, self.mel_masks, self.mel_width, generator)
        rows, columns = rows.to(maps.device), columns.to(maps.device)
        masked = rows[:, None, :, None] | columns[:, None, None, :]
        return torch.where(masked, maps.mean((1, 2, 3), keepdim=True), maps)


@dataclass(frozen=True)
class Mixup:
    """Blends a batch, and its targets, with the batch in reverse order.

    One weight is drawn from Beta(alpha, alpha) for the whole batch (arXiv 1710.09412).

    Attributes:
        alpha: Parameter of the Beta distribution.
    """

    alpha: float

    def __call__(
        self, batch: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The batch (B, ...) of waveforms or maps, and its targets (B, C), blended."""
        gammas = torch._standard_gamma(torch.full((2,), self.alpha), generator=generator)
        weight = float(gammas[0] / gammas.sum())
        blended = [weight * x + (1 - weight) * x.flip(0) for x in (batch, targets)]
        return blended[0], blended[1]


def _rectangles(areas: Tensor, aspects: Tensor, whole: int) -> tuple[Tensor, Tensor]:
    """Heights and widths of rectangles, in whole bins and frames, from draws in [0, 1).

    Args:
        areas: Draws of the area.
        aspects: Draws of the aspect.
        whole: Area of the spectrogram.
    """
    area = whole * (ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * areas)
    low, high = math.log(ERASED_ASPECT[0]), math.log(ERASED_ASPECT[1])
    aspect = (low + (high - low) * aspects).exp()
    return (area * aspect).sqrt().round(), (area / aspect).sqrt().round()


def _bands(size: int, length: int, count: int, width: int, generator: torch.Generator) -> Tensor:
    """Which positions (size, length) lie in one of `count` random bands."""
    widths, places = torch.rand(2, size, count, 1, generator=generator)
    widths = (widths * (min(width, length) + 1)).floor()
    starts = (places * (length - widths + 1)).floor()
    return _between(length, starts, starts + widths).any(1)


def _between(length: int, start: Tensor, end: Tensor) -> Tensor:
    """Which of `length` positions are in [start, end), (..., length) of (..., 1)."""
    positions = torch.arange(length)
    return (positions >= start) & (positions < end)
