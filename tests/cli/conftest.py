"""Files of every format, to be damaged."""

from tests.support.damage import intact

__all__ = ["intact"]
