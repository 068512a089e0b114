"""Cutting clips to the length of a batch: drawing cuts, and playing them at their speeds.

A cut is a window of a clip's samples, 16-bit integers, and the speed at which it is played. The
result is the same to the bit, wherever the samples come from.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from audiotag.data.encoding import PCM_16_SCALE

GPU_ROWS = 64  # waveforms resampled at once; a CPU takes one, which stays in its cache


@dataclass(frozen=True)
class Cuts:
    """The cuts of B clips.

    Attributes:
        offsets: Sample of the clip at which its window begins, (B,); negative if the window begins
            with silence.
        reach: Samples of the window (B,): of the clip, and of silence before and after it.
        speeds: Playing speed (B,).
        size: Samples T of the waveforms.
    """

    offsets: Tensor
    reach: Tensor
    speeds: Tensor
    size: int

    @property
    def width(self) -> int:
        """Samples of the widest window, plus one for the interpolation."""
        return int(self.reach.max()) + 1

    def part(self, row: int, length: int) -> tuple[int, int]:
        """The first sample that a cut takes from a clip of `length`, and the one after its last."""
        first = int(self.offsets[row])
        return max(0, first), min(length, first + int(self.reach[row]) + 1)


def draw_cuts(
    lengths: Tensor, size: int, generator: torch.Generator, speeds: Tensor | None = None
) -> Cuts:
    """Random cuts of clips of `lengths` (B,) samples, played `speeds` (B,) times as fast.

    A clip shorter than its window is put at a random position in silence.
    """
    speeds = torch.ones(len(lengths)) if speeds is None else speeds
    reach = (size * speeds).ceil().long()
    room = lengths - reach
    offsets = (torch.rand(len(lengths), generator=generator) * room).long()
    return Cuts(offsets, reach, speeds, size)


def head_cuts(count: int, size: int) -> Cuts:
    """Cuts at the beginnings of clips; short clips are padded with silence."""
    zeros = torch.zeros(count, dtype=torch.long)
    return Cuts(zeros, zeros + size, torch.ones(count), size)


def fill(window: Tensor, clip: Tensor, cuts: Cuts, row: int, first: int = 0) -> None:
    """Write the window (width,) of cut number `row` of a clip (T,), both int16.

    Samples beyond the reach of this cut are not written. If `clip` is only a part of the clip,
    `first` is the number of its first sample in the whole clip.
    """
    window, offset = window[: int(cuts.reach[row]) + 1], int(cuts.offsets[row]) - first
    lead = max(0, -offset)
    piece = clip[max(0, offset) :][: len(window) - lead]
    window[:lead] = 0
    window[lead : lead + len(piece)] = piece
    window[lead + len(piece) :] = 0


def play(windows: Tensor, cuts: Cuts) -> Tensor:
    """Waveforms (B, size) in [-1, 1] of windows (B, width), resampled by linear interpolation."""
    rows = GPU_ROWS if windows.is_cuda else 1
    parts = zip(windows.split(rows), cuts.speeds.split(rows), strict=True)
    waveform = torch.empty(len(windows), cuts.size, device=windows.device)
    for out, (window, speeds) in zip(waveform.split(rows), parts, strict=True):
        torch.div(_interpolate(window, speeds, cuts.size), PCM_16_SCALE, out=out)
    return waveform


def _interpolate(windows: Tensor, speeds: Tensor, size: int) -> Tensor:
    """Samples (B, size) of windows (B, width), not yet scaled."""
    if (speeds == 1).all():
        return windows[:, :size].float()
    time = torch.arange(size, device=windows.device) * speeds.to(windows.device).unsqueeze(-1)
    whole = time.long()
    low, high = windows.gather(1, whole).float(), windows.gather(1, whole + 1).float()
    return torch.lerp(low, high, time - whole)
