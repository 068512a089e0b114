"""Keyword arguments that a function passes on to another one."""

import difflib
from collections.abc import Iterable


def check_keywords(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse an unknown name, as Python does, and suggest a similar one.

    Args:
        function: Name of the function that was called.
        given: Names of the keyword arguments it was called with.
        known: Names that it takes.

    Raises:
        TypeError: If a name is not among them.
    """
    names = list(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(names)}"
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}; {remedy}")
