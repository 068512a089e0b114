"""Augmentation of batches, each a function of a batch and a seeded generator.

Random numbers are drawn on the CPU, but for noise: a run gives the same draws on every device.
"""

import math

import torch
from torch import Tensor

LEVEL_FLOOR = 1e-5  # full scale; keeps the level of silence finite
WHITE = (0.0, 0.0)  # slopes of the power of white noise
CORNERS = 8  # octaves apart: 16 kHz to 125 Hz at a sample rate of 32 kHz
ERASED_AREA = (0.02, 0.33)  # share of the map (torchvision.transforms.RandomErasing's defaults)
ERASED_ASPECT = (0.3, 3.3)  # frequency bins to frames
ERASING_ATTEMPTS = 10  # rectangles drawn before a map that none fits is left alone


def decibels(low: float, high: float, size: int, generator: torch.Generator) -> Tensor:
    """Amplitude factors (size, 1), uniform in dB."""
    level = low + (high - low) * torch.rand(size, 1, generator=generator)
    return 10 ** (level / 20)


def speeds(
    size: int, prob: float, limits: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Playing speeds (size,): uniform between `limits` with chance `prob`, else 1."""
    drawn = limits[0] + (limits[1] - limits[0]) * torch.rand(size, generator=generator)
    chosen = torch.rand(size, generator=generator) < prob
    return torch.where(chosen, drawn, torch.ones(size))


def roll(waveform: Tensor, generator: torch.Generator) -> Tensor:
    """Waveforms (B, T), each turned round by a number of samples: the end comes to the front."""
    size, length = waveform.shape
    shifts = torch.randint(length, (size,), generator=generator).tolist()
    return torch.stack([x.roll(shift) for x, shift in zip(waveform, shifts, strict=True)])


def gain(waveform: Tensor, range_db: float, generator: torch.Generator) -> Tensor:
    """Waveforms (B, T), each louder or softer by up to `range_db`."""
    return waveform * decibels(-range_db, range_db, len(waveform), generator).to(waveform.device)


def soften(
    waveform: Tensor, prob: float, range_db: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Waveforms (B, T), some of them changed by a level within `range_db`."""
    size = len(waveform)
    chosen = torch.rand(size, 1, generator=generator) < prob
    scale = torch.where(chosen, decibels(*range_db, size, generator), 1.0)
    return waveform * scale.to(waveform.device)


def mix(
    waveform: Tensor,
    targets: Tensor,
    prob: float,
    range_db: tuple[float, float],
    most: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Add to some of the waveforms (B, T) others of the batch, each at a level relative to theirs.

    2 to `most` clips, as often one number as another, are then heard at once. Targets (B, C)
    become the largest of all: all sounds are there.
    """
    size = len(waveform)
    chosen = torch.rand(size, 1, generator=generator) < prob
    added = torch.randint(1, most, (size, 1), generator=generator)
    level = _level(waveform)
    mixed, joined = waveform, targets
    for number in range(most - 1):
        partner = torch.randperm(size, generator=generator)
        scale = decibels(*range_db, size, generator) * (chosen & (number < added))
        partner, scale = partner.to(waveform.device), scale.to(waveform.device)
        mixed = mixed + waveform[partner] * (scale * level / level[partner])
        joined = torch.where(scale > 0, torch.maximum(joined, targets[partner]), joined)
    return mixed, joined


def reverberate(
    waveform: Tensor,
    prob: float,
    seconds: tuple[float, float],
    range_db: tuple[float, float],
    sample_rate: int,
    generator: torch.Generator,
) -> Tensor:
    """Add to some of the waveforms (B, T) what a room might answer, at a level relative to theirs.

    The answer is white noise that falls by 60 dB within a time uniform between `seconds` (RT60;
    Polack's model of a room: Applied Acoustics 38, 1993), convolved with the waveform.
    """
    size, length = waveform.shape
    chosen = (torch.rand(size, generator=generator) < prob).nonzero()[:, 0]
    times = seconds[0] + (seconds[1] - seconds[0]) * torch.rand(size, 1, generator=generator)
    scale = decibels(*range_db, size, generator)
    source = _source(waveform, generator)
    if not len(chosen):
        return waveform
    times, scale, chosen = (x.to(waveform.device) for x in (times[chosen], scale[chosen], chosen))
    dry = waveform[chosen]
    noise = torch.randn(dry.shape, device=dry.device, generator=source)
    decay = torch.arange(length, device=dry.device) / (times * sample_rate)
    sound, room = (torch.fft.rfft(x, n=2 * length) for x in (dry, noise * 10 ** (-3 * decay)))
    answer = torch.fft.irfft(sound * room, n=2 * length)[:, :length]
    ratio = _level(dry) / _level(answer)
    return waveform.index_copy(0, chosen, dry + answer * ratio * scale)


def equalise(waveform: Tensor, prob: float, range_db: float, generator: torch.Generator) -> Tensor:
    """Filter some of the waveforms (B, T) as another microphone might.

    The gain is uniform in +-`range_db` at each of `CORNERS` frequencies, an octave apart from half
    the sample rate down, and in between goes straight in dB over the logarithm of the frequency,
    as FilterAugment's does over mel bands (arXiv 2110.03282).
    """
    size, length = waveform.shape
    chosen = (torch.rand(size, generator=generator) < prob).nonzero()[:, 0]
    gains = range_db * (2 * torch.rand(size, CORNERS, generator=generator) - 1)
    if not len(chosen):
        return waveform
    frequency = torch.fft.rfftfreq(length)  # cycles a sample, 0.5 at most
    octave = (-(2 * frequency).clamp(min=2.0 ** (1 - CORNERS)).log2()).clamp(0, CORNERS - 1)
    lower = octave.floor().clamp(max=CORNERS - 2).long()
    share = octave - lower
    decibel = gains[chosen][:, lower] * (1 - share) + gains[chosen][:, lower + 1] * share
    chosen, response = chosen.to(waveform.device), 10 ** (decibel / 20).to(waveform.device)
    filtered = torch.fft.irfft(torch.fft.rfft(waveform[chosen]) * response, n=length)
    return waveform.index_copy(0, chosen, filtered)


def add_noise(
    waveform: Tensor,
    prob: float,
    range_db: tuple[float, float],
    slopes: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Add noise to some of the waveforms (B, T), at a level relative to theirs.

    Its power falls with frequency to the power of a slope uniform between `slopes`: 0 is white
    noise, 1 pink, 2 brown.
    """
    size, length = waveform.shape
    scale = decibels(*range_db, size, generator) * (torch.rand(size, 1, generator=generator) < prob)
    slope = slopes[0] + (slopes[1] - slopes[0]) * torch.rand(size, 1, generator=generator)
    source = _source(waveform, generator)
    noise = torch.randn(waveform.shape, device=waveform.device, generator=source)
    if slopes != WHITE:
        noise = _coloured(noise, slope.to(waveform.device))
    return waveform + noise * _level(waveform) * scale.to(waveform.device)


def _coloured(noise: Tensor, slope: Tensor) -> Tensor:
    """White noise (B, T) with its power falling by slopes (B, 1), its level as before."""
    spectrum = torch.fft.rfft(noise)
    frequency = torch.arange(1, spectrum.shape[1] + 1, device=noise.device)
    coloured = torch.fft.irfft(spectrum * frequency ** (-slope / 2), n=noise.shape[1])
    return coloured / _level(coloured)


def _level(waveform: Tensor) -> Tensor:
    """Root mean square (B, 1) of waveforms (B, T)."""
    return waveform.square().mean(1, keepdim=True).sqrt().clamp(min=LEVEL_FLOOR)


def _source(waveform: Tensor, generator: torch.Generator) -> torch.Generator:
    """A generator where the waveforms are, for what is too much to be drawn on the CPU."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(waveform.device).manual_seed(seed)


def erase(power: Tensor, prob: float, generator: torch.Generator) -> Tensor:
    """Set a rectangle of some power spectrograms (B, bins, frames) to zero.

    Random erasing (arXiv 1708.04896) with a constant value, on linear power as arXiv 2309.13972.
    Area and aspect are those of `ERASED_AREA` and `ERASED_ASPECT`, the aspect uniform in its
    logarithm; each map has a rectangle with chance `prob`.
    """
    size, bins, frames = power.shape
    draws = torch.rand(4, size, ERASING_ATTEMPTS, generator=generator)
    area = bins * frames * (ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * draws[0])
    low, high = math.log(ERASED_ASPECT[0]), math.log(ERASED_ASPECT[1])
    aspect = (low + (high - low) * draws[1]).exp()
    height, width = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (height < bins) & (width < frames)
    first = fits.int().argmax(1, keepdim=True)  # the first attempt that fits
    top, left = (draws[2] * (bins - height + 1)).floor(), (draws[3] * (frames - width + 1)).floor()
    top, left, height, width = (x.gather(1, first) for x in (top, left, height, width))
    chosen = (torch.rand(size, 1, generator=generator) < prob) & fits.any(1, keepdim=True)
    rows = _between(bins, top, top + height) & chosen
    columns = _between(frames, left, left + width)
    rows, columns = (x.to(power.device) for x in (rows, columns))
    return power.masked_fill(rows.unsqueeze(2) & columns.unsqueeze(1), 0)


def mask(
    maps: Tensor,
    time_masks: int,
    time_width: int,
    mel_masks: int,
    mel_width: int,
    generator: torch.Generator,
) -> Tensor:
    """Set bands of maps (B, 1, mels, frames) to each map's mean (SpecAugment, arXiv 1904.08779).

    A mask is up to its width wide, uniformly, and lies anywhere; widths in frames and mels.
    """
    size, _, mels, frames = maps.shape
    columns = _bands(size, frames, time_masks, time_width, generator).to(maps.device)
    rows = _bands(size, mels, mel_masks, mel_width, generator).to(maps.device)
    masked = rows[:, None, :, None] | columns[:, None, None, :]
    return torch.where(masked, maps.mean((1, 2, 3), keepdim=True), maps)


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


def mixup(
    batch: Tensor, targets: Tensor, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blend a batch (B, ...) of waveforms or maps, and its targets (B, C), with its reverse.

    One share is drawn from Beta(alpha, alpha) for the batch (arXiv 1710.09412).
    """
    gammas = torch._standard_gamma(torch.full((2,), alpha), generator=generator)
    share = float(gammas[0] / gammas.sum())
    blended = [share * x + (1 - share) * x.flip(0) for x in (batch, targets)]
    return blended[0], blended[1]
