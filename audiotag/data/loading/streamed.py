"""Clips that are decoded when they are needed, and only in part: for data sets of any size."""

import os
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from audiotag.data.dataset import ClipDataset
from audiotag.data.loading.crops import Cuts, fill


class StreamedSamples:
    """A data set's samples, read and decoded in threads; see `clips.Samples`.

    Args:
        dataset: The clips.
        device: The device for batches.
        workers: Threads that decode; one a core unless given.
    """

    def __init__(
        self, dataset: ClipDataset, device: torch.device, workers: int | None = None
    ) -> None:
        self.sample_rate = dataset.sample_rate
        self.lengths = torch.from_numpy(dataset.lengths)
        self._dataset, self._device = dataset, device
        self._pool = ThreadPoolExecutor(workers or os.cpu_count())

    def windows(self, clips: Tensor, cuts: Cuts) -> Tensor:
        """As `clips.Samples.windows`."""
        pinned = self._device.type == "cuda"  # so that copying overlaps with computing
        windows = torch.empty(len(clips), cuts.width, dtype=torch.int16, pin_memory=pinned)

        def place(row: int, index: int) -> None:
            first, last = cuts.part(row, int(self.lengths[index]))
            samples = torch.from_numpy(self._dataset.read(index, first, last))
            fill(windows[row], samples, cuts, row, first)

        list(self._pool.map(place, range(len(clips)), clips.tolist()))
        return windows.to(self._device, non_blocking=True)
