"""Keyword arguments that a function takes for another one."""

import difflib
from collections.abc import Iterable


def check_keywords(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a name that is not known, as Python does, and say which it may have been meant for.

    Args:
        function: Who was given the names.
        given: The names.
        known: Those that it takes.

    Raises:
        TypeError: If a name is not among them.
    """
    names = list(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(names)}"
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}; {remedy}")
