"""Paths that a data set's files name."""

import os
from pathlib import Path


def inside(folder: Path, path: str) -> Path:
    """A path that a file names, below the data set's folder.

    Raises:
        ValueError: If it leads out of it: others may have written the file.
    """
    found = os.path.normpath(path)
    if os.path.isabs(path) or found.split(os.sep)[0] == os.pardir or "\0" in path:
        raise ValueError(f"the file that it names, {path[:80]!r}, is not in the data set's folder")
    return folder / found
