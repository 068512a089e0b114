"""Loading the C libraries that are compiled when the package is installed."""

import ctypes
from importlib.util import find_spec


def load(module: str) -> ctypes.CDLL | None:
    """The library at the place of a module of this name; None if it is missing or cannot be
    loaded here."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    try:
        return ctypes.CDLL(spec.origin)
    except OSError:
        return None
