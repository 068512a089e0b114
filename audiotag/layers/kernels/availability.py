"""Which modules written in Triton a device can use."""

from functools import lru_cache
from importlib import import_module
from types import ModuleType

import torch

TENSOR_CORES = (8, 0)  # compute capability from which they take bfloat16


@lru_cache
def triton_module(name: str, device: torch.device) -> ModuleType | None:
    """The module of a name in this room; None without Triton or a GPU with tensor cores."""
    if device.type != "cuda" or torch.version.cuda is None:
        return None
    if torch.cuda.get_device_capability(device) < TENSOR_CORES:
        return None
    try:
        return import_module(f"audiotag.layers.kernels.{name}")
    except ImportError:
        return None
