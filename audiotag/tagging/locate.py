"""From what a user names (a folder, a Hub id, nothing) to the folder of the model."""

import re
from importlib.resources import files
from pathlib import Path

from audiotag.architectures import ARCHITECTURES
from audiotag.errors import ModelError
from audiotag.models.folder import CONFIG_FILE, DEFAULT_NAME
from audiotag.models.published.names import MODELS, NOT_OFFERED, PublishedModel, nearest

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def model_folder(model: str | Path | None) -> Path:
    """The folder of a model; it is downloaded if needed.

    Args:
        model: Model folder, name of a published model, Hub id (`owner/name[@revision]`), or
            "default" or nothing for the embedded default. A model folder of the same name goes
            before a published model.

    Raises:
        ModelError: If it is none of these.
        HubError: If a model cannot be downloaded.
    """
    if model in (None, DEFAULT_NAME):
        return Path(str(files("audiotag") / "assets" / "embedded"))
    if (published := published_model(model)) is not None:
        from audiotag.hub.published import published_folder

        return published_folder(published)
    if Path(model).is_dir():
        return Path(model)
    if HUB_ID.fullmatch(str(model)) and not str(model).startswith("."):
        from audiotag.hub.pull import pull

        return pull(str(model))
    raise ModelError(_unknown(str(model)))


def published_model(model: str | Path | None) -> PublishedModel | None:
    """The published model of this name, unless a model folder of the same name goes before it."""
    found = MODELS.get(str(model))
    return None if found is None or (Path(str(model)) / CONFIG_FILE).is_file() else found


def model_name(model: str | Path | None, folder: Path) -> str:
    """How messages call a model that lies in this folder."""
    if model in (None, DEFAULT_NAME):
        return DEFAULT_NAME
    return str(model) if model in MODELS else folder.name


def _unknown(model: str) -> str:
    if Path(model).suffix == ".onnx":
        return f"{model} can only tag and embed; give the model folder that it was exported from"
    if model in NOT_OFFERED:
        return NOT_OFFERED[model]
    if (named := model.replace("_", "-")) in MODELS:
        return f"{model} is an architecture; the model with published weights is {named}"
    if model in ARCHITECTURES:
        return f"{model} is an architecture without weights; train it, or name a folder or Hub id"
    if near := nearest(model):
        return f"no model {model!r}; did you mean {' or '.join(near)}?"
    return (
        f"no model {model!r}: give a model folder, an .onnx file, a Hub id (owner/name), or a name "
        "that audiotag models lists"
    )
