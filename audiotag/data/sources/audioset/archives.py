"""Archives: large files of many clips. Each clip is a row, and can be read without the others."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from audiotag.data.recordings import Failure, Recording
from audiotag.runtime.progress import progress_line


@dataclass(frozen=True)
class Archive:
    """A file of clips.

    Attributes:
        path: Its path.
        name: Its name in messages.
        split: Split of its clips.
        rows: Numbers of the rows to use; None if the file cannot be opened.
    """

    path: Path
    name: str
    split: str
    rows: np.ndarray | None

    def __len__(self) -> int:
        return 1 if self.rows is None else len(self.rows)


class ArchiveLayout(Protocol):
    """The layout of clips in a kind of file.

    Attributes:
        names: Label name of each mid, in order.
        wanted: Mids; only clips that have one of them are used. All clips if it is empty.
    """

    @property
    def names(self) -> Mapping[str, str]: ...

    @property
    def wanted(self) -> Collection[str]: ...

    def rows(self, path: Path) -> np.ndarray | None:
        """Numbers of the rows that are wanted; None if the file cannot be opened."""

    def read(self, archive: Archive, rows: np.ndarray) -> Iterator[Recording | Failure]:
        """The clips of some rows, in order, with a failure for each that cannot be read."""


class ArchiveSource:
    """Clips of archives, read a few at a time.

    Args:
        folder: The folder of the files.
        splits: Split of each file, by its path below the folder, in order.
        layout: The layout of clips in the files.
    """

    def __init__(self, folder: Path, splits: Mapping[str, str], layout: ArchiveLayout) -> None:
        self._layout = layout
        self.labels: tuple[str, ...] | None = tuple(layout.names.values())
        self._archives: list[Archive] = []
        with progress_line("open", len(splits), "files", delay=1) as line:
            for name, split in splits.items():
                rows = layout.rows(folder / name)
                self._archives.append(Archive(folder / name, name, split, rows))
                line.update()
        known = [(x.name, x.split, len(x), x.path.stat().st_size) for x in self._archives]
        self.fingerprint = hashlib.sha256(repr((known, sorted(layout.wanted))).encode()).hexdigest()

    def __len__(self) -> int:
        return sum(map(len, self._archives))

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
