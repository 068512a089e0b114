"""Augmentation of waveforms: speed, roll, mix, reverb, filter, noise and gain."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

LEVEL_FLOOR = 1e-5  # full scale; keeps the level of silence finite
WHITE = (0.0, 0.0)  # slopes of the power of white noise
CORNERS = 8  # one octave apart: 16 kHz to 125 Hz at a sample rate of 32 kHz


class WaveformAugmentation(Protocol):
    """A random change of waveforms (B, T), and of their targets (B, C) if it adds sounds."""

    def __call__(
        self, waveform: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Speed:
    """Draws the playing speed of clips; cropping resamples them to it.

    Attributes:
        prob: Chance that a clip is played faster or slower.
        limits: Lowest and highest speed, uniform between them.
    """

    prob: float
    limits: tuple[float, float]

    def draw(self, size: int, generator: torch.Generator) -> Tensor:
        """Speeds (size,); 1 for an unchanged clip."""
        drawn = _uniform(self.limits, (size,), generator)
        chosen = torch.rand(size, generator=generator) < self.prob
        return torch.where(chosen, drawn, torch.ones(size))


@dataclass(frozen=True)
class Roll:
    """Shifts each waveform circularly by a random number of samples: its end moves to the front."""

    def __call__(
        self, waveform: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        size, length = waveform.shape
        shifts = torch.randint(length, (size,), generator=generator).tolist()
        rolled = [x.roll(shift) for x, shift in zip(waveform, shifts, strict=True)]
        return torch.stack(rolled), targets


@dataclass(frozen=True)
class Mix:
    """Adds other waveforms of the batch to some of the waveforms, at levels relative to theirs.

    The number of clips that are then heard at once is uniform from 2 to `most`. Targets become the
    maximum over these clips, as all their sounds are present.

    Attributes:
        prob: Chance that clips are added to a clip.
        level_db: Lowest and highest level of an added clip against the first, in dB.
        most: Largest number of clips heard at once, the first among them.
    """

    prob: float
    level_db: tuple[float, float]
    most: int

    def __call__(
        self, waveform: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        size = len(waveform)
        chosen = torch.rand(size, 1, generator=generator) < self.prob
        added = torch.randint(1, self.most, (size, 1), generator=generator)
        level = _level(waveform)
        mixed, joined = waveform, targets
        for number in range(self.most - 1):
            partner = torch.randperm(size, generator=generator)
            scale = decibels(self.level_db, size, generator) * (chosen & (number < added))
            partner, scale = partner.to(waveform.device), scale.to(waveform.device)
            mixed = mixed + waveform[partner] * (scale * level / level[partner])
            joined = torch.where(scale > 0, torch.maximum(joined, targets[partner]), joined)
        return mixed, joined


@dataclass(frozen=True)
class Reverb:
    """Adds the reverberation of a room to some of the waveforms, at a level relative to theirs.

    It is the waveform convolved with white noise that decays by 60 dB within a time (RT60; Polack's
    model of a room: Applied Acoustics 38, 1993).

    Attributes:
        prob: Chance that reverberation is added to a clip.
        seconds: Shortest and longest RT60, uniform between them.
        level_db: Lowest and highest level of the reverberation against the clip, in dB.
        sample_rate: Sample rate of the waveforms, in Hz.
    """

    prob: float
    seconds: tuple[float, float]
    level_db: tuple[float, float]
    sample_rate: int

    def __call__(
        self, waveform: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        size = len(waveform)
        chosen = (torch.rand(size, generator=generator) < self.prob).nonzero()[:, 0]
        times = _uniform(self.seconds, (size, 1), generator)
        scale = decibels(self.level_db, size, generator)
        source = _generator_on_device(waveform, generator)
        if not len(chosen):
            return waveform, targets
        times, scale, chosen = (
            x.to(waveform.device) for x in (times[chosen], scale[chosen], chosen)
        )
        dry = waveform[chosen]
        answer = self._answer(dry, times, source)
        ratio = _level(dry) / _level(answer)
        return waveform.index_copy(0, chosen, dry + answer * ratio * scale), targets

    def _answer(self, dry: Tensor, times: Tensor, source: torch.Generator) -> Tensor:
        """The reverberation of waveforms (B, T) in rooms with RT60s (B, 1)."""
        length = dry.shape[1]
        noise = torch.randn(dry.shape, device=dry.device, generator=source)
        decay = torch.arange(length, device=dry.device) / (times * self.sample_rate)
        sound, room = (torch.fft.rfft(x, n=2 * length) for x in (dry, noise * 10 ** (-3 * decay)))
        return torch.fft.irfft(sound * room, n=2 * length)[:, :length]


@dataclass(frozen=True)
class Filter:
    """Filters some of the waveforms, as if recorded with another microphone.

    The gain is uniform in +-`range_db` at each of `CORNERS` frequencies: half the sample rate, and
    downwards in octaves. Between them it is linear in dB over the logarithm of the frequency, as it
    is over mel bands in FilterAugment (arXiv 2110.03282).

    Attributes:
        prob: Chance that a clip is filtered.
        range_db: Largest gain or loss at a corner, in dB.
    """

    prob: float
    range_db: float

    def __call__(
        self, waveform: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        size, length = waveform.shape
        chosen = (torch.rand(size, generator=generator) < self.prob).nonzero()[:, 0]
        gains = self.range_db * (2 * torch.rand(size, CORNERS, generator=generator) - 1)
        if not len(chosen):
            return waveform, targets
        decibel = _between_corners(gains[chosen], length)
        chosen, response = chosen.to(waveform.device), 10 ** (decibel / 20).to(waveform.device)
        filtered = torch.fft.irfft(torch.fft.rfft(waveform[chosen]) * response, n=length)
        return waveform.index_copy(0, chosen, filtered), targets


@dataclass(frozen=True)
class Noise:
    """Adds noise to some of the waveforms, at a level relative to theirs.

    Its power falls with frequency to the power of a slope: 0 is white noise, 1 pink, 2 brown.

    Attributes:
        prob: Chance that noise is added to a clip.
        level_db: Lowest and highest level of the noise against the clip, in dB.
        slopes: Lowest and highest slope, uniform between them.
    """

    prob: float
    level_db: tuple[float, float]
    slopes: tuple[float, float]

    def __call__(
        self, waveform: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        size = len(waveform)
        scale = decibels(self.level_db, size, generator)
        scale = scale * (torch.rand(size, 1, generator=generator) < self.prob)
        slope = _uniform(self.slopes, (size, 1), generator)
        source = _generator_on_device(waveform, generator)
        noise = torch.randn(waveform.shape, device=waveform.device, generator=source)
        if self.slopes != WHITE:
            noise = _coloured(noise, slope.to(waveform.device))
        return waveform + noise * _level(waveform) * scale.to(waveform.device), targets


@dataclass(frozen=True)
class Gain:
    """Makes each waveform louder or softer.

    Attributes:
        range_db: Largest change, in dB.
    """

    range_db: float

    def __call__(
        self, waveform: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        factors = decibels((-self.range_db, self.range_db), len(waveform), generator)
        return waveform * factors.to(waveform.device), targets


@dataclass(frozen=True)
class Soften:
    """Makes some of the waveforms softer, like recordings of distant sounds.

    Attributes:
        prob: Chance that a waveform is made softer.
        limits_db: Lowest and highest change of its level, in dB.
    """

    prob: float
    limits_db: tuple[float, float]

    def __call__(
        self, waveform: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        is_chosen = torch.rand(len(waveform), 1, generator=generator) < self.prob
        factors = decibels(self.limits_db, len(waveform), generator)
        return waveform * torch.where(is_chosen, factors, 1.0).to(waveform.device), targets


def decibels(limits: tuple[float, float], size: int, generator: torch.Generator) -> Tensor:
    """Amplitude factors (size, 1), uniform in dB between limits."""
    return 10 ** (_uniform(limits, (size, 1), generator) / 20)


def _uniform(
    limits: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Numbers of a shape, uniform between limits."""
    return limits[0] + (limits[1] - limits[0]) * torch.rand(shape, generator=generator)


def _between_corners(gains: Tensor, length: int) -> Tensor:
    """Gains (B, bins) in dB at the frequencies of `rfft`, interpolated between the corners.

    Args:
        gains: In dB, (B, `CORNERS`), from the highest corner, half the sample rate, down.
        length: Samples of a waveform.
    """
    frequency = torch.fft.rfftfreq(length)  # cycles a sample, 0.5 at most
    octave = (-(2 * frequency).clamp(min=2.0 ** (1 - CORNERS)).log2()).clamp(0, CORNERS - 1)
    lower = octave.floor().clamp(max=CORNERS - 2).long()
    above = octave - lower
    return gains[:, lower] * (1 - above) + gains[:, lower + 1] * above


def _coloured(noise: Tensor, slope: Tensor) -> Tensor:
    """White noise (B, T), filtered so that its power falls by slopes (B, 1); same level."""
    spectrum = torch.fft.rfft(noise)
    frequency = torch.arange(1, spectrum.shape[1] + 1, device=noise.device)
    coloured = torch.fft.irfft(spectrum * frequency ** (-slope / 2), n=noise.shape[1])
    return coloured / _level(coloured)


def _level(waveform: Tensor) -> Tensor:
    """Root mean square (B, 1) of waveforms (B, T)."""
    return waveform.square().mean(1, keepdim=True).sqrt().clamp(min=LEVEL_FLOOR)


def _generator_on_device(waveform: Tensor, generator: torch.Generator) -> torch.Generator:
    """A generator on the device of the waveforms, for large draws that would be slow on the CPU."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(waveform.device).manual_seed(seed)
