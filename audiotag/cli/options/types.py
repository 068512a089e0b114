"""Types of options and arguments, with names in the help for people: SECONDS, not FLOAT RANGE."""

import math
from pathlib import Path
from typing import Any

import click


class Number(click.ParamType):
    """A number between two bounds, which are included.

    Args:
        name: Its name in the help, such as "seconds".
        kind: `int` for whole numbers, or `float`.
        low: Lowest value.
        high: Highest value; None for no limit.
    """

    def __init__(
        self, name: str, kind: type[int] | type[float], low: float, high: float | None = None
    ) -> None:
        self.name, self._kind, self._low, self._high = name, kind, low, high

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float:
        """The number in a text such as 2.5."""
        try:
            number = self._kind(value)
        except ValueError:
            wanted = "a whole number" if self._kind is int else "a number"
            self.fail(f"{value!r} is not {wanted}", param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        if self._high is not None and number > self._high:
            self.fail(f"{value} is above {self._high:,.10g}", param, ctx)
        if number < self._low:
            self.fail(f"{value} is below {self._low:g}", param, ctx)
        return number


def _folder(exists: bool) -> click.Path:
    kind = click.Path(exists=exists, file_okay=False, path_type=Path)
    kind.name = "folder"  # click's word is directory
    return kind


COUNT = Number("number", int, 1)
COUNT_OR_NONE = Number("number", int, 0)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER, NEW_FOLDER = _folder(exists=True), _folder(exists=False)
