"""The device that a model computes on."""

import ctypes
from importlib.util import find_spec
from typing import TYPE_CHECKING

from audiotag.errors import ModelError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")
CUDA_DRIVER = "libcuda.so.1"


def select_device(device: str) -> "torch.device":
    """The torch device with this name.

    Raises:
        ModelError: If the name is unknown, or is "cuda" and there is no CUDA device.
    """
    import torch

    if device not in DEVICES:
        raise ModelError(f"unknown device {device!r}; choose one of {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device is available; use --device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def is_cpu(device: str) -> bool:
    """Whether the device with this name is the CPU; found without importing torch, which is slow.

    If torch is not installed it always is, as only torch can use a GPU.
    """
    return device == "cpu" or (device == "auto" and not (find_spec("torch") and _has_cuda()))


def _has_cuda() -> bool:
    """Whether a CUDA driver finds a GPU."""
    try:
        driver = ctypes.CDLL(CUDA_DRIVER)
    except OSError:
        return False
    count = ctypes.c_int()
    return (
        driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
    )
