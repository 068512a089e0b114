"""Batches of waveforms out of a data set, held in memory or read as they are wanted."""

from typing import Protocol

import torch
from torch import Tensor

from audiotag.data.dataset import ClipDataset
from audiotag.data.loading.resident import BYTES_PER_SAMPLE, ResidentClips
from audiotag.data.loading.streamed import StreamedClips
from audiotag.runtime.free_memory import free_bytes

RESIDENT_SHARE = 0.5  # of the free memory that decoded clips may take; the rest is the model's


class Clips(Protocol):
    """Clips that batches are cut from. One call at a time, from any thread.

    The same numbers come out however the clips are held.

    Attributes:
        sample_rate: Hz.
    """

    sample_rate: int

    def __len__(self) -> int:
        """How many clips there are."""

    def crops(
        self,
        clips: Tensor,
        seconds: float,
        generator: torch.Generator,
        speeds: Tensor | None = None,
    ) -> Tensor:
        """Random crops (B, T) in [-1, 1] of clips (B,), played `speeds` (B,) times as fast.

        A clip shorter than the crop lies in silence, anywhere.

        Raises:
            DataError: If a clip is missing or damaged.
        """

    def heads(self, clips: Tensor, seconds: float) -> Tensor:
        """The first `seconds` (B, T) of clips (B,), silence after short ones: always the same.

        Raises:
            DataError: If a clip is missing or damaged.
        """


def open_clips(dataset: ClipDataset, device: torch.device, workers: int | None = None) -> Clips:
    """The clips of a data set: held in memory where half of what is free will do.

    Args:
        dataset: The clips.
        device: Where batches are wanted.
        workers: Threads that decode; one a core unless given.

    Raises:
        DataError: If a clip that is read into memory is missing or damaged.
    """
    size = int(dataset.lengths.sum()) * BYTES_PER_SAMPLE
    if size <= RESIDENT_SHARE * free_bytes(device):
        return ResidentClips(dataset, device, workers)
    return StreamedClips(dataset, device, workers)
