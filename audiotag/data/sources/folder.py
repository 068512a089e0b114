"""Your own recordings: a folder with a sub-folder for each class."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from audiotag.audio.find_files import find_files
from audiotag.data.recordings import Failure, FileAudio, Recording, printable
from audiotag.errors import DataError

UNLABELLED = "lies in no sub-folder, which would be its class"


class FolderSource:
    """Audio files below a folder, each labelled with the sub-folder that it lies in.

    Args:
        folder: Searched recursively; hidden files are skipped.

    Raises:
        DataError: If no sub-folder holds audio files.
    """

    labels: tuple[str, ...] | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = [path.relative_to(folder).as_posix() for path in find_files([folder])]
        if not any("/" in path for path in self._paths):
            raise DataError(f"{folder}: no audio files in sub-folders; make one for each class")
        names = "\n".join(self._paths).encode(errors="surrogateescape")
        self.fingerprint = hashlib.sha256(names).hexdigest()

    def __len__(self) -> int:
        return len(self._paths)

    def recordings(self, first: int, last: int) -> Iterator[Recording | Failure]:
        """As `Source.recordings`."""
        for path in self._paths[first:last]:
            label, slash, _ = path.partition("/")
            if slash:
                yield Recording(path, FileAudio(self._folder / path), (label,))
            else:
                yield Failure(printable(path), UNLABELLED, "unlabelled")
