"""Batches of waveforms from a data set, held in memory or read when they are needed."""

from typing import Protocol

import torch
from torch import Tensor

from audiotag.data.dataset import ClipDataset
from audiotag.data.loading.crops import Cuts, draw_cuts, head_cuts, play
from audiotag.data.loading.resident import BYTES_PER_SAMPLE, ResidentSamples
from audiotag.data.loading.streamed import StreamedSamples
from audiotag.runtime.free_memory import free_bytes

RESIDENT_SHARE = 0.5  # of the free memory that decoded clips may take; the rest is the model's


class Samples(Protocol):
    """The samples of a data set's clips. Any thread may call it, one at a time.

    Attributes:
        sample_rate: Hz.
        lengths: Samples of each clip, (N,).
    """

    sample_rate: int
    lengths: Tensor

    def windows(self, clips: Tensor, cuts: Cuts) -> Tensor:
        """The windows (B, cuts.width), int16, of clips (B,) at these cuts, on the device for
        batches.

        Raises:
            DataError: If a clip is missing or damaged.
        """


class Clips:
    """Clips that batches are cut from; the bits are the same wherever the samples are.

    Any thread may call it, one at a time.

    Args:
        samples: The samples of the clips.

    Attributes:
        samples: The samples of the clips.
        sample_rate: Hz.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples, self.sample_rate = samples, samples.sample_rate

    def __len__(self) -> int:
        return len(self.samples.lengths)

    def crops(
        self,
        clips: Tensor,
        seconds: float,
        generator: torch.Generator,
        speeds: Tensor | None = None,
    ) -> Tensor:
        """Random crops (B, T) in [-1, 1] of clips (B,), played `speeds` (B,) times as fast.

        A clip shorter than the crop is put at a random position in silence.

        Raises:
            DataError: If a clip is missing or damaged.
        """
        lengths = self.samples.lengths[clips]
        return self._play(clips, draw_cuts(lengths, self._size(seconds), generator, speeds))

    def heads(self, clips: Tensor, seconds: float) -> Tensor:
        """The first `seconds` (B, T) of clips (B,), without randomness; short ones are padded with
        silence.

        Raises:
            DataError: If a clip is missing or damaged.
        """
        return self._play(clips, head_cuts(len(clips), self._size(seconds)))

    def _size(self, seconds: float) -> int:
        return round(seconds * self.sample_rate)

    def _play(self, clips: Tensor, cuts: Cuts) -> Tensor:
        return play(self.samples.windows(clips, cuts), cuts)


def open_clips(dataset: ClipDataset, device: torch.device, workers: int | None = None) -> Clips:
    """The clips of a data set, in memory if they take at most half of the free memory.

    Args:
        dataset: The clips.
        device: The device for batches.
        workers: Threads that decode; one a core unless given.

    Raises:
        DataError: If a clip that is read into memory is missing or damaged.
    """
    size = int(dataset.lengths.sum()) * BYTES_PER_SAMPLE
    if size <= RESIDENT_SHARE * free_bytes(device):
        return Clips(ResidentSamples(dataset, device, workers))
    return Clips(StreamedSamples(dataset, device, workers))
