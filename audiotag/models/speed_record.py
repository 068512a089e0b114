"""What `audiotag bench models` has measured on this machine, for the list of models to show."""

import json
import platform
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import constants

from audiotag.models.folder import LIBRARY
from audiotag.runtime.files import replaced
from audiotag.runtime.json_text import parse_json

FILE = "speeds.json"  # by machine and model: clips of 10 s computed in a second


def read_speeds() -> dict[str, float]:
    """Clips of 10 s that models compute in a second on this machine's CPU, by their names."""
    speeds = _read().get(platform.node())
    if not isinstance(speeds, dict):
        return {}
    return {name: float(x) for name, x in speeds.items() if isinstance(x, int | float)}


def store_speeds(speeds: Mapping[str, float]) -> None:
    """Keep speeds of models of these names; those measured before are replaced.

    Raises:
        OutputError: If they cannot be written.
    """
    stored = {**_read(), platform.node(): {**read_speeds(), **speeds}}
    with replaced(_path()) as file:
        file.write(f"{json.dumps(stored, indent=1)}\n".encode())


def _path() -> Path:
    return Path(constants.HF_ASSETS_CACHE, LIBRARY, FILE)


def _read() -> dict:
    try:
        stored = parse_json(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none was measured, or what was is damaged
        return {}
    return stored if isinstance(stored, dict) else {}
