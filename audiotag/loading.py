"""Taggers loaded for use: folded, in evaluation mode, on their device."""

from pathlib import Path

import torch

from audiotag.errors import ModelError
from audiotag.locate import DEFAULT_NAME, model_folder
from audiotag.memory import keep_freed_memory
from audiotag.precision import PRECISIONS
from audiotag.tagger import Tagger

DEVICES = ("auto", "cpu", "cuda")


def load_tagger(
    model: str | Path | None = None,
    device: str = "auto",
    precision: str = "fp32",
    folded: bool = True,
) -> Tagger:
    """A tagger for use: its DCLS kernels folded, in evaluation mode, on its device.

    Args:
        model: Model folder, Hub id (`owner/name[@revision]`), or "default" or nothing for the
            embedded default.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".
        precision: Of matrix products: "fp32" or "bf16".
        folded: Whether to fold it, which is faster, but not every module gives what it gave.

    Raises:
        ModelError: If there is no such model, device or precision, or the folder does not hold a
            tagger.
        HubError: If a Hub model cannot be had.
    """
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise ModelError(f"unknown precision {precision!r}; choose one of {known}")
    target = select_device(device)
    tagger = Tagger.load(model_folder(model))
    if folded:
        tagger.fold()
    if model in (None, DEFAULT_NAME):
        tagger.name = DEFAULT_NAME
    tagger.precision = precision
    return to_device(tagger, target)


def to_device(tagger: Tagger, device: torch.device) -> Tagger:
    """Move a tagger, its convolutions in the channels-last layout that is fast everywhere."""
    if device.type == "cpu":
        keep_freed_memory()
    tagger.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return tagger.to(device)


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
