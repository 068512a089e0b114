"""Clips held decoded in memory, cut into batches on the training device.

The whole split lies in one 16-bit tensor, so that a batch of crops is a single gather. That suits
sets of up to some hundred hours: an hour at 32 kHz takes 230 MB.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from tqdm import tqdm

from audiotag.data.dataset import ClipDataset
from audiotag.data.shards import PCM_16_SCALE
from audiotag.errors import DataError

BYTES_PER_SAMPLE = 2


class ResidentClips:
    """A split's samples on a device.

    Args:
        dataset: The split.
        device: Where batches are wanted.

    Raises:
        DataError: If the memory is not there, or a clip is damaged.
    """

    def __init__(self, dataset: ClipDataset, device: torch.device) -> None:
        lengths = torch.from_numpy(dataset.durations * dataset.sample_rate).round().long()
        self.sample_rate = dataset.sample_rate
        self.lengths = lengths
        self.starts = lengths.cumsum(0) - lengths
        samples = self._decode(dataset, int(lengths.sum()))
        try:
            self.samples = samples.to(device)
        except torch.OutOfMemoryError as error:
            raise _too_large(dataset, samples.numel()) from error

    def _decode(self, dataset: ClipDataset, total: int) -> Tensor:
        try:
            samples = torch.empty(total, dtype=torch.int16)
        except RuntimeError as error:
            raise _too_large(dataset, total) from error

        def place(index: int) -> None:
            start = int(self.starts[index])
            clip = torch.from_numpy(dataset.read(index))
            samples[start : start + len(clip)] = clip

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            clips = pool.map(place, range(len(dataset)))
            for _ in tqdm(clips, total=len(dataset), unit="clip", desc="decode", disable=None):
                pass
        return samples

    def __len__(self) -> int:
        return len(self.lengths)

    def crops(
        self,
        clips: Tensor,
        seconds: float,
        generator: torch.Generator,
        speeds: Tensor | None = None,
    ) -> Tensor:
        """Random crops (B, T) in [-1, 1] of clips (B,), played `speeds` (B,) times as fast.

        A clip shorter than the crop is either repeated or set into silence, at random.
        """
        size = round(seconds * self.sample_rate)
        speeds = torch.ones(len(clips)) if speeds is None else speeds
        lengths, reach = self.lengths[clips], (size * speeds).ceil().long()
        longer = lengths > reach
        room = torch.where(longer, lengths - reach, lengths)
        offsets = (torch.rand(len(clips), generator=generator) * room).long()
        padded = (torch.rand(len(clips), generator=generator) < 0.5) & ~longer
        lead = (torch.rand(len(clips), generator=generator) * (reach - lengths).clamp(min=0)).long()
        offsets = torch.where(padded, -lead, offsets)
        return self._gather(clips, offsets, padded, speeds, size)

    def heads(self, clips: Tensor, seconds: float) -> Tensor:
        """The first `seconds` (B, T) of clips (B,), shorter ones repeated: the same every time."""
        zeros = torch.zeros_like(clips)
        size = round(seconds * self.sample_rate)
        return self._gather(clips, zeros, zeros.bool(), torch.ones(len(clips)), size)

    def _gather(
        self, clips: Tensor, offsets: Tensor, padded: Tensor, speeds: Tensor, size: int
    ) -> Tensor:
        """Waveforms (B, size) of clips (B,) from sample `offsets` (B,) on."""
        # On a CPU clip by clip: fresh memory for a batch of indices costs more than the gather.
        rows = len(clips) if self.samples.is_cuda else 1
        parts = zip(*(x.split(rows) for x in (clips, offsets, padded, speeds)), strict=True)
        return torch.cat([self._interpolate(c, o, p, s, size) for c, o, p, s in parts])

    def _interpolate(
        self, clips: Tensor, offsets: Tensor, padded: Tensor, speeds: Tensor, size: int
    ) -> Tensor:
        """As `_gather`; between samples the waveform is read by linear interpolation."""
        device = self.samples.device
        table = torch.stack([self.starts[clips], self.lengths[clips], offsets, padded.long()])
        starts, lengths, offsets, pad = table.to(device, non_blocking=True).unsqueeze(-1)
        time = torch.arange(size, device=device) * speeds.to(device).unsqueeze(-1)
        whole = time.long()
        first = offsets + whole
        low = self.samples[starts + first % lengths].float()
        high = self.samples[starts + (first + 1) % lengths].float()
        waveform = torch.lerp(low, high, time - whole) / PCM_16_SCALE
        return waveform * (((first >= 0) & (first < lengths)) | (pad == 0))


def _too_large(dataset: ClipDataset, samples: int) -> DataError:
    gigabytes = samples * BYTES_PER_SAMPLE / 1e9
    return DataError(
        f"{dataset.folder}: its clips take {gigabytes:.1f} GB decoded, more than the memory there "
        "is; prepare a smaller set or train on a larger machine"
    )
