"""Loading the C libraries that are compiled when the package is installed."""

import ctypes
from importlib.util import find_spec


def load(module: str) -> ctypes.CDLL | None:
    """The C library in the place of the module with this name; None if it is missing or cannot be
    loaded on this machine."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    try:
        return ctypes.CDLL(spec.origin)
    except OSError:
        return None
