"""From what a user calls a model (folder, Hub id, nothing) to a tagger ready to run."""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from audiotag.backbones import architectures
from audiotag.errors import ModelError
from audiotag.tagger import Tagger

if TYPE_CHECKING:
    from audiotag.tagging import FileTags

DEFAULT_NAME = "default"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
DEVICES = ("auto", "cpu", "cuda")


def load_tagger(model: str | Path | None = None, device: str = "auto") -> Tagger:
    """A tagger for use: its DCLS kernels folded, in evaluation mode, on its device.

    Args:
        model: Model folder, Hub id (`owner/name[@revision]`), or "default" or nothing for the
            embedded default.
        device: "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises:
        ModelError: If there is no such model or device, or the folder does not hold a tagger.
        HubError: If a Hub model cannot be had.
    """
    target = select_device(device)
    tagger = Tagger.load(model_folder(model)).fold()
    if model in (None, DEFAULT_NAME):
        tagger.name = DEFAULT_NAME
    return to_device(tagger, target)


def to_device(tagger: Tagger, device: torch.device) -> Tagger:
    """Move a tagger, its convolutions in the channels-last layout that is fast everywhere."""
    tagger.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return tagger.to(device)


def model_folder(model: str | Path | None) -> Path:
    """The folder of a model, downloaded if it has to be.

    Raises:
        ModelError: If it is neither a folder nor a Hub id.
        HubError: If a Hub model cannot be had.
    """
    if model in (None, DEFAULT_NAME):
        return Path(str(files("audiotag") / "embedded"))
    if Path(model).is_dir():
        return Path(model)
    if str(model) in architectures():
        raise ModelError(
            f"{model} is an architecture without weights; train it, or name a folder or Hub id"
        )
    if HUB_ID.fullmatch(str(model)) and not str(model).startswith("."):
        from audiotag.hub import pull

        return pull(str(model))
    raise ModelError(f"no model {str(model)!r}: give a model folder or a Hub id (owner/name)")


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


def tag(path: str | Path, model: str | Path | None = None, **options) -> "FileTags":
    """Tags of an audio file; the model stays loaded from one call to the next.

    Args:
        path: An audio file.
        model: As for `load_tagger`.
        options: Fields of `tagging.TagOptions`.

    Raises:
        AudioError: If the file cannot be decoded.
        ModelError, HubError: As `load_tagger`.
    """
    return _cached_tagger(model).tag(path, **options)


@cache
def _cached_tagger(model: str | Path | None) -> Tagger:
    return load_tagger(model)
