"""Archives: large files of many clips, each in a row, which can be read without the others."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from audiotag.data.prepare.parts import PARTS_FOLDER
from audiotag.data.recordings import Failure, Recording
from audiotag.data.shards import DATASET_FILE, SHARDS_FOLDER
from audiotag.data.sources.splits import listed, split_notes
from audiotag.runtime.progress import progress_line


class NoClipsError(Exception):
    """Why a file, or every file of a folder, is no archive of clips."""


@dataclass(frozen=True)
class FoundRows:
    """Numbers of the rows of a file that are wanted, and what was assumed about it, if anything."""

    numbers: np.ndarray
    note: str = ""


@dataclass(frozen=True)
class Archive:
    """A file of clips.

    Attributes:
        path: Where it is.
        name: What messages call it.
        split: Of its clips.
        rows: Numbers of the rows that are used; None if the file cannot be opened.
    """

    path: Path
    name: str
    split: str
    rows: np.ndarray | None

    def __len__(self) -> int:
        return 1 if self.rows is None else len(self.rows)


class ArchiveLayout(Protocol):
    """How clips lie in a kind of file.

    Attributes:
        labels: The label set in order; None if it is the labels that the clips have.
        chosen: What else of the files is used, as texts.
    """

    @property
    def labels(self) -> tuple[str, ...] | None: ...

    @property
    def chosen(self) -> Sequence[str]: ...

    def rows(self, path: Path) -> FoundRows | None:
        """The rows that are wanted; None if the file cannot be opened.

        Raises:
            NoClipsError: If it is a file of another kind; a sentence without the file's name.
        """

    def read(self, archive: Archive, rows: np.ndarray) -> Iterator[Recording | Failure]:
        """The clips of some rows, in order, with a failure for each that cannot be read."""


class ArchiveSource:
    """Clips of archives, read a few at a time.

    Args:
        folder: The files lie below it.
        splits: Split of each file, by its path below the folder, in order.
        layout: How the clips lie in them.

    Attributes:
        notes: For a reader, the files of each split, those that are passed over, and assumptions.

    Raises:
        NoClipsError: If no file has clips.
    """

    def __init__(self, folder: Path, splits: Mapping[str, str], layout: ArchiveLayout) -> None:
        self._layout = layout
        self.labels = layout.labels
        self._archives: list[Archive] = []
        self._said: dict[str, list[str]] = defaultdict(list)  # names of files by what is said
        with progress_line("open", len(splits), "files", delay=1) as line:
            for name, split in splits.items():
                self._open(folder / name, name, split)
                line.update()
        if not self._archives:
            reason, names = next(iter(self._said.items()))
            raise NoClipsError(f"{folder / names[0]} {reason}; no such file here has clips")
        self.notes = split_notes({x.name: x.split for x in self._archives})
        self.notes += tuple(f"{listed(names)} {said}" for said, names in self._said.items())
        known = [(x.name, x.split, len(x), x.path.stat().st_size) for x in self._archives]
        self.fingerprint = hashlib.sha256(repr((known, layout.chosen)).encode()).hexdigest()

    def _open(self, path: Path, name: str, split: str) -> None:
        try:
            found = self._layout.rows(path)
        except NoClipsError as error:
            self._said[str(error)].append(name)
            return
        self._archives.append(Archive(path, name, split, None if found is None else found.numbers))
        if found is not None and found.note:
            self._said[found.note].append(name)

    def __len__(self) -> int:
        return sum(map(len, self._archives))

    def files(self, last: int) -> Iterator[Path]:
        """As `Source.files`."""
        position = 0
        for archive in self._archives:
            if position >= last:
                return
            yield archive.path
            position += len(archive)

    def recordings(self, first: int, last: int) -> Iterator[Recording | Failure]:
        """As `Source.recordings`; a file that cannot be opened is one failure."""
        position = 0
        for archive in self._archives:
            begin, end = max(first - position, 0), min(last - position, len(archive))
            if begin < end and archive.rows is None:
                yield Failure(archive.name, "cannot be opened; download it again")
            elif begin < end and archive.rows is not None:
                yield from self._layout.read(archive, archive.rows[begin:end])
            position += len(archive)


def files_below(folder: Path, suffixes: Collection[str]) -> list[str]:
    """The files below a folder with one of these suffixes, in lower case, as paths below it, in
    order; without those of data sets that were, or are being, prepared inside it."""
    found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in suffixes)
    return [
        path.relative_to(folder).as_posix()
        for path in found
        if not any(_is_prepared(folder / x) for x in path.relative_to(folder).parents[:-1])
    ]


def _is_prepared(folder: Path) -> bool:
    parts = (folder / PARTS_FOLDER, folder / SHARDS_FOLDER)
    return (folder / DATASET_FILE).exists() or all(part.is_dir() for part in parts)
