"""Decoded clips in memory, in one 16-bit tensor on the device that trains.

This suits data sets of up to a few hundred hours: an hour at 32 kHz takes 230 MB.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from audiotag.data.dataset import ClipDataset
from audiotag.data.loading.crops import Cuts, fill
from audiotag.errors import DataError
from audiotag.runtime.progress import progress_line

BYTES_PER_SAMPLE = 2


class ResidentSamples:
    """A data set's samples on a device; see `clips.Samples`.

    Args:
        dataset: The clips.
        device: The device for batches.
        workers: Threads that decode; one a core unless given.

    Raises:
        DataError: If there is too little memory, or a clip is damaged.
    """

    def __init__(
        self, dataset: ClipDataset, device: torch.device, workers: int | None = None
    ) -> None:
        self.sample_rate = dataset.sample_rate
        self.lengths = torch.from_numpy(dataset.lengths)
        self._starts = self.lengths.cumsum(0) - self.lengths
        total = int(self.lengths.sum())
        try:
            self._samples = torch.empty(total, dtype=torch.int16, device=device)
        except RuntimeError as error:
            raise _too_large(dataset, total) from error
        self._decode(dataset, workers)

    def _decode(self, dataset: ClipDataset, workers: int | None) -> None:
        def place(index: int) -> None:
            self._clip(index).copy_(torch.from_numpy(dataset.read(index)))

        line = progress_line("decode", len(dataset), "clips")
        with ThreadPoolExecutor(workers or os.cpu_count()) as pool, line:
            for _ in pool.map(place, range(len(dataset))):
                line.update()

    def _clip(self, index: int) -> Tensor:
        """Samples (T,), int16, of a clip."""
        start = int(self._starts[index])
        return self._samples[start : start + int(self.lengths[index])]

    def windows(self, clips: Tensor, cuts: Cuts) -> Tensor:
        """As `clips.Samples.windows`."""
        shape = len(clips), cuts.width
        windows = torch.empty(shape, dtype=torch.int16, device=self._samples.device)
        for row, index in enumerate(clips.tolist()):
            fill(windows[row], self._clip(index), cuts, row)
        return windows


def _too_large(dataset: ClipDataset, samples: int) -> DataError:
    gigabytes = samples * BYTES_PER_SAMPLE / 1e9
    return DataError(
        f"{dataset.folder}: its clips take {gigabytes:.1f} GB decoded, more than the memory there "
        "is; prepare a smaller set or train on a larger machine"
    )
