"""Replacing: a file appears under its name only when it is whole."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".*.partial"  # names of files on their way


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A file to write, moved to `path` at the end; taken away if an exception passes through.

    The temporary file is hidden, lies in the same folder, and has the usual permissions. A link
    stays one: what it points to is replaced.
    """
    path = Path(os.path.realpath(path))
    partial = path.with_name(f".{secrets.token_hex(6)}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
