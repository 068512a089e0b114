"""The errors of PyTorch while a model computes windows, as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from audiotag.errors import ModelError
from audiotag.models.build import UNFIT, reason_of


@contextmanager
def computing(name: str, waveforms: np.ndarray, sample_rate: int) -> Iterator[None]:
    """A context in which a model of this name computes waveforms (B, T) at a sample rate in Hz.

    Raises:
        ModelError: If they do not fit on the device at once, or the network cannot take them.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{len(waveforms)} windows of this length do not fit on the device at once; "
            "give a smaller batch size (--batch-size) or shorter windows (--window)"
        ) from error
    except UNFIT as error:
        raise ModelError(
            f"{name} cannot compute clips of {waveforms.shape[1] / sample_rate:g} s "
            f"({reason_of(error)}); its architecture does not take what its front end gives"
        ) from error
