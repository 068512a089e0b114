"""Loading what is compiled from C when the package is installed."""

import ctypes
from importlib.util import find_spec


def load(module: str) -> ctypes.CDLL | None:
    """The library that lies where a module of this name would, or nothing if it is missing or
    cannot be loaded here."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    try:
        return ctypes.CDLL(spec.origin)
    except OSError:
        return None
