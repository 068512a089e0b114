"""AudioSet in HDF5 files, as PANNs (arXiv 1912.10211) or PaSST (arXiv 2110.05069) make them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.data.encoding import PCM_16_SCALE
from audiotag.data.recordings import Audio, BytesAudio, Failure, Recording, SamplesAudio, printable
from audiotag.data.sources.audioset.archives import Archive
from audiotag.data.sources.audioset.hdf5_file import RATE, Row
from audiotag.data.sources.audioset.hdf5_process import read_rows, rows_of
from audiotag.data.sources.audioset.segments import YOUTUBE_ID

SUFFIXES = (".h5", ".hdf", ".hdf5")


@dataclass(frozen=True)
class Hdf5Layout:
    """As `archives.ArchiveLayout`; the mids are in the order of the targets."""

    names: Mapping[str, str]
    wanted: Collection[str]

    def rows(self, path: Path) -> np.ndarray | None:
        """As `ArchiveLayout.rows`.

        Raises:
            DataError: If h5py is not installed, or the file has another layout.
        """
        classes = [number for number, mid in enumerate(self.names) if mid in self.wanted]
        return rows_of(path, classes, len(self.names))

    def read(self, archive: Archive, rows: np.ndarray) -> Iterator[Recording | Failure]:
        """As `ArchiveLayout.read`."""
        labels = tuple(self.names.values())
        numbers = rows.tolist()
        for number, found in zip(
            numbers, read_rows(archive.path, numbers, len(labels)), strict=True
        ):
            if isinstance(found, Row):
                yield _recording(archive, found, labels)
            else:
                yield Failure(f"{archive.name}, row {number}", printable(found))


def find_hdf5(folder: Path) -> dict[str, str]:
    """Subset of each HDF5 file below a folder, by its path below the folder, in order.

    A file of both training subsets counts as unbalanced.
    """
    return {
        path.relative_to(folder).as_posix(): _subset(path.name.lower())
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
    }


def _subset(name: str) -> str:
    if "eval" in name:
        return "eval"
    return "unbalanced" if "unbal" in name else "balanced"


def _recording(archive: Archive, row: Row, labels: tuple[str, ...]) -> Recording:
    return Recording(
        f"{archive.name}/{row.name}",
        _audio(row),
        tuple(labels[number] for number in row.classes),
        archive.split,
        key=_key(row.name),
    )


def _audio(row: Row) -> Audio:
    if row.samples is None:
        return BytesAudio(row.mp3 or b"")
    return SamplesAudio(row.samples.astype(np.float32) / PCM_16_SCALE, RATE)


def _key(name: str) -> str:
    """The id in a name such as `Y<id>.wav`."""
    stem = name.partition(".")[0]
    return stem[1:] if stem.startswith("Y") and YOUTUBE_ID.fullmatch(stem[1:]) else stem
