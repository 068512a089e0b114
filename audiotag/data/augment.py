"""Augmentation of batches, each a function of a batch and a seeded generator.

Random numbers are drawn on the CPU: a run gives the same draws on every device.
"""

import torch
from torch import Tensor

LEVEL_FLOOR = 1e-5  # full scale; keeps the level of silence finite


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


def gain(waveform: Tensor, range_db: float, generator: torch.Generator) -> Tensor:
    """Waveforms (B, T), each louder or softer by up to `range_db`."""
    return waveform * decibels(-range_db, range_db, len(waveform), generator).to(waveform.device)


def mix(
    waveform: Tensor,
    targets: Tensor,
    prob: float,
    range_db: tuple[float, float],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Add to waveforms (B, T) others of the batch, at a level relative to theirs.

    Targets (B, C) become the larger of both: both sounds are there.
    """
    size = len(waveform)
    partner = torch.randperm(size, generator=generator)
    scale = decibels(*range_db, size, generator)
    chosen = torch.rand(size, 1, generator=generator) < prob
    partner, scale, chosen = (x.to(waveform.device) for x in (partner, scale, chosen))
    level = waveform.square().mean(1, keepdim=True).sqrt().clamp(min=LEVEL_FLOOR)
    added = waveform[partner] * (scale * level / level[partner])
    mixed = torch.where(chosen, waveform + added, waveform)
    return mixed, torch.where(chosen, torch.maximum(targets, targets[partner]), targets)


def add_noise(
    waveform: Tensor, prob: float, range_db: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Add white noise to some of the waveforms (B, T), at a level relative to theirs."""
    size = len(waveform)
    scale = decibels(*range_db, size, generator) * (torch.rand(size, 1, generator=generator) < prob)
    level = waveform.square().mean(1, keepdim=True).sqrt().clamp(min=LEVEL_FLOOR)
    seed = int(torch.randint(2**62, (), generator=generator))
    source = torch.Generator(waveform.device).manual_seed(seed)
    noise = torch.randn(waveform.shape, device=waveform.device, generator=source)
    return waveform + noise * level * scale.to(waveform.device)


def mixup(
    maps: Tensor, targets: Tensor, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blend a batch with its reverse, one Beta(alpha, alpha) share a batch (arXiv 1710.09412)."""
    gammas = torch._standard_gamma(torch.full((2,), alpha), generator=generator)
    share = float(gammas[0] / gammas.sum())
    blended = [share * x + (1 - share) * x.flip(0) for x in (maps, targets)]
    return blended[0], blended[1]
