"""Where torch computes."""

import torch

from audiotag.errors import ModelError

DEVICES = ("auto", "cpu", "cuda")


def select_device(device: str) -> torch.device:
    """The torch device of a name.

    Raises:
        ModelError: If it is unknown, or CUDA is asked for where there is none.
    """
    if device not in DEVICES:
        raise ModelError(f"unknown device {device!r}; choose one of {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device is available; use --device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)
