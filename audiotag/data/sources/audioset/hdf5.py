"""AudioSet in HDF5 files, as PANNs (arXiv 1912.10211) or PaSST (arXiv 2110.05069) make them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audiotag.data.recordings import Audio, BytesAudio, Failure, Recording, SamplesAudio, printable
from audiotag.data.sources.archives import Archive, FoundRows
from audiotag.data.sources.audioset.hdf5_file import Row
from audiotag.data.sources.audioset.hdf5_process import read_rows, rows_of
from audiotag.data.sources.audioset.segments import YOUTUBE_ID

SUFFIXES = (".h5", ".hdf", ".hdf5")


@dataclass(frozen=True)
class Hdf5Layout:
    """As `archives.ArchiveLayout`; the mids are in the order of the targets.

    Attributes:
        rate: Of waveforms whose file does not say it, in Hz.
    """

    names: Mapping[str, str]
    wanted: Collection[str]
    rate: int | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """As `ArchiveLayout.labels`."""
        return tuple(self.names.values())

    @property
    def chosen(self) -> list[str]:
        """As `ArchiveLayout.chosen`."""
        return sorted(self.wanted)

    def rows(self, path: Path) -> FoundRows | None:
        """As `ArchiveLayout.rows`.

        Raises:
            DataError: If h5py is not installed, or the file is refused.
        """
        classes = [number for number, mid in enumerate(self.names) if mid in self.wanted]
        return rows_of(path, classes, len(self.names), self.rate)

    def read(self, archive: Archive, rows: np.ndarray) -> Iterator[Recording | Failure]:
        """As `ArchiveLayout.read`."""
        labels = self.labels
        numbers = rows.tolist()
        for number, found in zip(
            numbers, read_rows(archive.path, numbers, len(labels), self.rate), strict=True
        ):
            if isinstance(found, Row):
                yield _recording(archive, found, labels)
            else:
                yield Failure(f"{archive.name}, row {number}", printable(found))


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
    return SamplesAudio(row.samples, row.rate)


def _key(name: str) -> str:
    """The id in a name such as `Y<id>.wav`."""
    stem = name.partition(".")[0]
    return stem[1:] if stem.startswith("Y") and YOUTUBE_ID.fullmatch(stem[1:]) else stem
