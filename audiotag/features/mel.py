"""Power in mel bands for the front ends in torch: in C on a CPU if no gradient is needed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from audiotag.features.mel_bank import MelBank
from audiotag.features.mel_power import MelPower, is_power_of_two, library


class Mel:
    """Power in mel bands.

    Args:
        window: Weights (n_fft,).
        hop_length: Samples from one frame to the next.
        bands: Weights (n_fft / 2 + 1, n_mels).
    """

    def __init__(self, window: Tensor, hop_length: int, bands: Tensor) -> None:
        self.window, self.hop_length, self.bands = window, hop_length, bands

    def __call__(self, waveform: Tensor, in_torch: Callable[[Tensor], Tensor]) -> Tensor:
        """Power (B, n_mels, frames) of waveforms (B, T) in single precision.

        Args:
            waveform: The samples.
            in_torch: Computes the same in torch, on any device.
        """
        if not self._is_in_c(waveform):
            return in_torch(waveform)
        parts = np.array_split(waveform.numpy(), min(len(waveform), torch.get_num_threads()))
        if len(parts) == 1:
            return torch.from_numpy(self._in_c(parts[0]))
        return torch.from_numpy(np.concatenate(list(_pool(len(parts)).map(self._in_c, parts))))

    @property
    def bank(self) -> MelBank:
        """Window and bands as arrays."""
        return MelBank(self.window.cpu().numpy(), self.bands.cpu().numpy())

    @cached_property
    def _in_c(self) -> MelPower:
        return MelPower(self.bank.window, self.hop_length, self.bank.bands)

    def _is_in_c(self, waveform: Tensor) -> bool:
        return (
            waveform.device.type == "cpu"
            and waveform.dtype == torch.float32
            and waveform.shape[0] > 0
            and waveform.shape[1] > len(self.window) // 2  # PyTorch raises otherwise
            and is_power_of_two(len(self.window))
            and library() is not None
            and not waveform.requires_grad
            and not (torch.jit.is_tracing() or torch.compiler.is_compiling())
        )


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)
