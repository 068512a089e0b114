"""From what a user names (a folder, a Hub id, nothing) to the folder of the model."""

import re
from importlib.resources import files
from pathlib import Path

from audiotag.architectures import ARCHITECTURES
from audiotag.errors import ModelError
from audiotag.models.folder import DEFAULT_NAME

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def model_folder(model: str | Path | None) -> Path:
    """The folder of a model, downloaded if it has to be.

    Args:
        model: Model folder, Hub id (`owner/name[@revision]`), or "default" or nothing for the
            embedded default.

    Raises:
        ModelError: If it is neither a folder nor a Hub id.
        HubError: If a Hub model cannot be had.
    """
    if model in (None, DEFAULT_NAME):
        return Path(str(files("audiotag") / "assets" / "embedded"))
    if Path(model).is_dir():
        return Path(model)
    if HUB_ID.fullmatch(str(model)) and not str(model).startswith("."):
        from audiotag.hub.pull import pull

        return pull(str(model))
    raise ModelError(_unknown(str(model)))


def model_name(model: str | Path | None, folder: Path) -> str:
    """How messages call a model that lies in this folder."""
    return DEFAULT_NAME if model in (None, DEFAULT_NAME) else folder.name


def _unknown(model: str) -> str:
    if Path(model).suffix == ".onnx":
        return f"{model} can only tag and embed; give the model folder that it was exported from"
    if model in ARCHITECTURES:
        return f"{model} is an architecture without weights; train it, or name a folder or Hub id"
    return f"no model {model!r}: give a model folder, an .onnx file or a Hub id (owner/name)"
