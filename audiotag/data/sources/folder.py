"""Your own recordings: a folder with a sub-folder for each class, or one such folder a split."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audiotag.audio.find_files import find_files
from audiotag.data.recordings import Failure, FileAudio, Recording, printable
from audiotag.data.sources.splits import listed, split_named
from audiotag.errors import DataError

UNLABELLED = "lies in no sub-folder, which would be its class"


@dataclass(frozen=True)
class _Levels:
    """Which of the folders above a file, counted from the top, are its class and its split."""

    label: int = 0
    split: int | None = None


class FolderSource:
    """Audio files below a folder; the sub-folder of a file is its label.

    Where all sub-folders on one level are called as splits are, they are the splits; the classes
    are the folders in them (`train/dog`, `audio/train/dog`), or those above them (`dog/train`).
    Where only some are, none is a split, and `notes` says so.

    Args:
        folder: Searched recursively; hidden files are skipped.

    Attributes:
        splits: Split of each sub-folder that is one; empty where there are none.
        notes: For a reader, how splits were found.

    Raises:
        DataError: If no folder of a class holds audio files.
    """

    labels: tuple[str, ...] | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = [path.relative_to(folder).as_posix() for path in find_files([folder])]
        parents = [tuple(path.split("/")[:-1]) for path in self._paths if "/" in path]
        if not parents:
            raise DataError(
                f"{folder}: no audio files in sub-folders; make one for each class, or list the "
                "files in a table (prepare csv; of a metadata.csv, prepare hub)"
            )
        self._levels = _levels(folder, set(parents))
        level = self._levels.split
        named = sorted({folders[level] for folders in parents}) if level is not None else []
        self.splits = {name: split for name in named if (split := split_named(name))}
        self.notes = tuple(_note(folder, level, *found) for found in self.splits.items())
        self.notes += _doubtful({folders[0] for folders in parents} - self.splits.keys())
        names = "\n".join([*self.splits.values(), *self._paths]).encode(errors="surrogateescape")
        self.fingerprint = hashlib.sha256(names).hexdigest()

    def __len__(self) -> int:
        return len(self._paths)

    def files(self, last: int) -> Iterator[Path]:
        """As `Source.files`."""
        return (self._folder / path for path in self._paths[:last])

    def recordings(self, first: int, last: int) -> Iterator[Recording | Failure]:
        """As `Source.recordings`."""
        for path in self._paths[first:last]:
            split, label = self._place(path.split("/")[:-1])
            if label is None:
                yield Failure(printable(path), UNLABELLED, "unlabelled")
            else:
                yield Recording(path, FileAudio(self._folder / path), (label,), split)

    def _place(self, folders: list[str]) -> tuple[str | None, str | None]:
        """Split and label of a file in these folders, from the top; None where there is none."""
        label, split = self._levels.label, self._levels.split
        name = folders[split] if split is not None and split < len(folders) else None
        return name and self.splits[name], folders[label] if label < len(folders) else None


def _levels(folder: Path, parents: set[tuple[str, ...]]) -> _Levels:
    for level in range(min(map(len, parents))):
        names = sorted({folders[level] for folders in parents})
        if all(split_named(name) for name in names):
            return _around(folder, parents, level, names)
    return _Levels()


def _around(folder: Path, parents: set[tuple[str, ...]], level: int, names: list[str]) -> _Levels:
    """The levels where the folders `names` of one level are splits."""
    if len({folders[:level] for folders in parents}) > 1:
        return _Levels(0, level)
    if not any(len(folders) > level + 1 for folders in parents):
        raise DataError(
            f"{folder}: {', '.join(names)} are taken for splits, and hold no folder for a "
            "class; make one for each class in them, or use prepare csv"
        )
    return _Levels(level + 1, level)


def _note(folder: Path, level: int | None, name: str, split: str) -> str:
    if level:
        return f"folders called {name} in {folder} are the split {split}"
    return f"{folder / name} is the split {split}; its folders are the labels"


def _doubtful(classes: set[str]) -> tuple[str, ...]:
    """What to say of classes of which several are called as splits are."""
    named = sorted(name for name in classes if split_named(name))
    others = sorted(name for name in classes if not split_named(name))
    if len({split_named(name) for name in named}) < 2:
        return ()
    return (
        f"the folders {listed(named)} are taken for classes, as {listed(others)} beside them would "
        "be no split; move it elsewhere if they are splits",
    )
