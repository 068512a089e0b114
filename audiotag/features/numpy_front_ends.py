"""The front ends in NumPy, without torch, for ONNX models that take log-mel maps.

They compute the same maps as `log_mel.LogMel`, `efficientat.EfficientATMel` and `ced.CedMel`, and
take the same arguments. Window and mel bands come from the ONNX file.
"""

from typing import Any, Protocol

import numpy as np

from audiotag.errors import ModelError
from audiotag.features.mel_bank import MelBank
from audiotag.features.mel_power import MelPower

Array = np.ndarray
POWER_FLOOR = 1e-10  # -100 dB; LogMel's
# EfficientATMel's.
PRE_EMPHASIS = 0.97
LOG_OFFSET = 1e-5  # power added before the logarithm
MEAN = -4.5  # of log power, subtracted
SCALE = 5.0  # of log power, divided by


class NumpyFrontEnd(Protocol):
    """A front end without torch."""

    def __init__(self, bank: MelBank, arguments: dict[str, Any]) -> None: ...

    def __call__(self, waveforms: Array) -> Array:
        """Maps (B, 1, n_mels, frames) float32 of waveforms (B, T) float32."""


class NumpyLogMel:
    """`log_mel.LogMel` in NumPy.

    Args:
        bank: Window and mel bands.
        arguments: All arguments of `LogMel`, defaults included.
    """

    def __init__(self, bank: MelBank, arguments: dict[str, Any]) -> None:
        self._power = MelPower(bank.window, arguments["hop_length"], bank.bands)
        self._mean, self._std = np.float32(arguments["mean"]), np.float32(arguments["std"])

    def __call__(self, waveforms: Array) -> Array:
        """Maps (B, 1, n_mels, 1 + T // hop_length) float32 of waveforms (B, T) float32."""
        level = self._power(waveforms)[:, None]
        np.log10(np.maximum(level, np.float32(POWER_FLOOR), out=level), out=level)
        level *= 10
        level -= self._mean
        level /= self._std
        return level


class NumpyEfficientATMel:
    """`efficientat.EfficientATMel` in NumPy.

    Args:
        bank: Window and mel bands.
        arguments: All arguments of `EfficientATMel`, defaults included.
    """

    def __init__(self, bank: MelBank, arguments: dict[str, Any]) -> None:
        self._power = MelPower(bank.window, arguments["hop_length"], bank.bands, PRE_EMPHASIS)

    def __call__(self, waveforms: Array) -> Array:
        """Maps (B, 1, n_mels, frames) float32 of waveforms (B, T) float32."""
        level = self._power(waveforms)[:, None]
        level += np.float32(LOG_OFFSET)
        np.log(level, out=level)
        level -= np.float32(MEAN)
        level /= np.float32(SCALE)
        return level


class NumpyCedMel:
    """`ced.CedMel`.

    Args:
        bank: Its window and bands.
        arguments: Its arguments, defaults spelled out.
    """

    def __init__(self, bank: MelBank, arguments: dict[str, Any]) -> None:
        self._decibels = NumpyLogMel(bank, {**arguments, "mean": 0.0, "std": 1.0})
        self._top_db = np.float32(arguments["top_db"])

    def __call__(self, waveforms: Array) -> Array:
        """Maps (B, 1, n_mels, 1 + T // hop_length) float32 of waveforms (B, T) float32."""
        level = self._decibels(waveforms)
        return np.maximum(level, level.max((1, 2, 3), keepdims=True) - self._top_db, out=level)


FRONT_ENDS: dict[str, type[NumpyFrontEnd]] = {
    "log_mel": NumpyLogMel,
    "efficientat_mel": NumpyEfficientATMel,
    "ced_mel": NumpyCedMel,
}


def check_numpy_front_end(name: str) -> None:
    """Raise a ModelError if the front end with this name does not exist in NumPy."""
    if name not in FRONT_ENDS:
        raise ModelError(
            f"front end {name!r} needs torch; export the model with --waveform, or use its folder"
        )
