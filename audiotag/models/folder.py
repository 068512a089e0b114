"""The files of a model folder and of a run folder, by name."""

import errno
from pathlib import Path

from audiotag.runtime.json_text import parse_json

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"
CARD_FILE = "README.md"
EVALUATION_FILE = "evaluation.json"
# In run folders only.
RECIPE_FILE = "recipe.toml"  # every default written out
METRICS_FILE = "metrics.jsonl"
DATA_FILE = "data.json"
RUN_FILES = (RECIPE_FILE, METRICS_FILE, DATA_FILE, EVALUATION_FILE)
FILES = (CONFIG_FILE, WEIGHTS_FILE, ONNX_FILE, CARD_FILE, *RUN_FILES)

LIBRARY = "audiotag"  # the value of "library_name" in a config
DEFAULT_NAME = "default"  # what users call the embedded model


def regular(path: Path) -> Path:
    """The path, unless a pipe or a device is there, which may have no end.

    Raises:
        OSError: If it is.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file")
    return path


def is_own_config(path: Path) -> bool:
    """Whether a file is the config of one of audiotag's models."""
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(values, dict) and values.get("library_name") == LIBRARY
