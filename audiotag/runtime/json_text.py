"""JSON that others wrote."""

import json
from collections.abc import Mapping
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: If it is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


def shown(value: Any) -> str:
    """A value for a message: escaped, and shortened if it is long."""
    if isinstance(value, int) and abs(value) > 10**15:  # Python refuses to write very long ones
        return "a number of more than 15 digits"
    if isinstance(value, list | tuple | Mapping) and len(value) > 8:
        return f"a {'table' if isinstance(value, Mapping) else 'list'} of {len(value):,}"
    text = ascii(value[:80] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."
