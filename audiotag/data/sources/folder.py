"""Your own recordings: a folder with a sub-folder for each class, or one such folder a split."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from audiotag.audio.find_files import find_files
from audiotag.data.recordings import Failure, FileAudio, Recording, printable
from audiotag.errors import DataError

UNLABELLED = "lies in no sub-folder, which would be its class"
SPLITS = {  # by what people call their folders
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
    "eval": "eval",
    "evaluation": "eval",
}


class FolderSource:
    """Audio files below a folder; the sub-folder of a file is its label.

    If all sub-folders have names of splits, the folders in them are the labels.

    Args:
        folder: Searched recursively; hidden files are skipped.

    Attributes:
        splits: Split of each sub-folder that is a split; empty if sub-folders are labels.

    Raises:
        DataError: If no folder of a class holds audio files.
    """

    labels: tuple[str, ...] | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = [path.relative_to(folder).as_posix() for path in find_files([folder])]
        tops = sorted({path.partition("/")[0] for path in self._paths if "/" in path})
        if not tops:
            raise DataError(f"{folder}: no audio files in sub-folders; make one for each class")
        are_splits = all(top.casefold() in SPLITS for top in tops)
        self.splits = {top: SPLITS[top.casefold()] for top in tops} if are_splits else {}
        if are_splits and not any(path.count("/") > 1 for path in self._paths):
            raise DataError(
                f"{folder}: {', '.join(tops)} are taken for splits, and hold no folder for a "
                "class; make one for each class in them, or use prepare csv"
            )
        names = "\n".join([*self.splits.values(), *self._paths]).encode(errors="surrogateescape")
        self.fingerprint = hashlib.sha256(names).hexdigest()

    def __len__(self) -> int:
        return len(self._paths)

    def recordings(self, first: int, last: int) -> Iterator[Recording | Failure]:
        """As `Source.recordings`."""
        for path in self._paths[first:last]:
            split, label = self._place(path.split("/")[:-1])
            if label is None:
                yield Failure(printable(path), UNLABELLED, "unlabelled")
            else:
                yield Recording(path, FileAudio(self._folder / path), (label,), split)

    def _place(self, folders: list[str]) -> tuple[str | None, str | None]:
        """Split and label of a file in these folders, from the top; None for a missing one."""
        split = self.splits.get(folders[0]) if folders else None
        rest = folders if split is None else folders[1:]
        return split, rest[0] if rest else None
