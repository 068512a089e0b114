"""Clips decoded when they are wanted, as far as they are: data sets of any size."""

import os
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from audiotag.data.dataset import ClipDataset
from audiotag.data.loading.crops import Cuts, draw_cuts, fill, head_cuts, play


class StreamedClips:
    """A data set's clips, read and decoded in threads; see `clips.Clips`.

    Args:
        dataset: The clips.
        device: Where batches are wanted.
        workers: Threads that decode; one a core unless given.
    """

    def __init__(
        self, dataset: ClipDataset, device: torch.device, workers: int | None = None
    ) -> None:
        self.sample_rate = dataset.sample_rate
        self.lengths = torch.from_numpy(dataset.lengths)
        self._dataset, self._device = dataset, device
        self._pool = ThreadPoolExecutor(workers or os.cpu_count())

    def __len__(self) -> int:
        return len(self.lengths)

    def crops(
        self,
        clips: Tensor,
        seconds: float,
        generator: torch.Generator,
        speeds: Tensor | None = None,
    ) -> Tensor:
        """As `clips.Clips.crops`."""
        size = round(seconds * self.sample_rate)
        return self._cut(clips, draw_cuts(self.lengths[clips], size, generator, speeds))

    def heads(self, clips: Tensor, seconds: float) -> Tensor:
        """As `clips.Clips.heads`."""
        return self._cut(clips, head_cuts(len(clips), round(seconds * self.sample_rate)))

    def _cut(self, clips: Tensor, cuts: Cuts) -> Tensor:
        pinned = self._device.type == "cuda"  # copied while the device computes
        windows = torch.empty(len(clips), cuts.width, dtype=torch.int16, pin_memory=pinned)

        def place(row: int, index: int) -> None:
            first, last = cuts.part(row, int(self.lengths[index]))
            samples = torch.from_numpy(self._dataset.read(index, first, last))
            fill(windows[row], samples, cuts, row, first)

        list(self._pool.map(place, range(len(clips)), clips.tolist()))
        return play(windows.to(self._device, non_blocking=True), cuts)
