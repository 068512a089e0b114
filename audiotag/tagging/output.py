"""What every output does: take results, and keep them."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from audiotag.tagging.results import FileTags

REMEDY = "make room or rights for it, or choose another --output"
Warn = Callable[[str], None]


class Output(Protocol):
    """Takes results; a context that keeps what it has taken, for whatever reason it is left."""

    def has(self, path: Path) -> bool:
        """Whether an earlier run has tagged this file."""

    def write(self, result: FileTags) -> None:
        """Take one more result."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...
