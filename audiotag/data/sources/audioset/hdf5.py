"""AudioSet in HDF5 files, as PANNs (arXiv 1912.10211) or PaSST (arXiv 2110.05069) make them.

PANNs: audio_name, waveform (N, samples) of int16 at 32 kHz, target (N, 527) of bool.
PaSST: audio_name, mp3 (N,) of bytes, target (N, 66) of packed bits.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from audiotag.data.encoding import PCM_16_SCALE
from audiotag.data.recordings import Audio, BytesAudio, Failure, Recording, SamplesAudio
from audiotag.data.sources.audioset.archives import Archive
from audiotag.data.sources.audioset.segments import YOUTUBE_ID
from audiotag.errors import DataError

SUFFIXES = (".h5", ".hdf", ".hdf5")
RATE = 32_000  # Hz, of PANNs' waveforms
ROWS = 65_536  # whose targets are in memory at once


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
        try:
            with _h5py().File(path) as opened:
                _check_layout(path, opened)
                targets = opened["target"]
                if not classes:
                    return np.arange(len(targets))
                has_one = [
                    _unpacked(targets[first : first + ROWS], len(self.names))[:, classes]
                    for first in range(0, len(targets), ROWS)
                ]
        except OSError:
            return None
        return np.flatnonzero(np.concatenate(has_one).any(1))

    def read(self, archive: Archive, rows: np.ndarray) -> Iterator[Recording | Failure]:
        """As `ArchiveLayout.read`."""
        labels = tuple(self.names.values())
        with _h5py().File(archive.path) as opened:
            for row in rows.tolist():
                try:
                    yield _recording(archive, opened, row, labels)
                except OSError as error:
                    yield Failure(f"{archive.name}, row {row}", f"cannot be read ({error})")


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


def _recording(archive: Archive, opened: Any, row: int, labels: tuple[str, ...]) -> Recording:
    name = opened["audio_name"][row].decode()
    numbers = np.flatnonzero(_unpacked(opened["target"][row], len(labels)))
    return Recording(
        f"{archive.name}/{name}",
        _audio(opened, row),
        tuple(labels[number] for number in numbers),
        archive.split,
        key=_key(name),
    )


def _key(name: str) -> str:
    """The id in a name such as `Y<id>.wav`."""
    stem = name.partition(".")[0]
    return stem[1:] if stem.startswith("Y") and YOUTUBE_ID.fullmatch(stem[1:]) else stem


def _check_layout(path: Path, opened: Any) -> None:
    missing = [x for x in ("audio_name", "target") if x not in opened]
    if not ("waveform" in opened or "mp3" in opened):
        missing.append("waveform or mp3")
    if missing:
        raise DataError(f"{path} has no {' and no '.join(missing)}; PANNs' and PaSST's files do")


def _audio(opened: Any, row: int) -> Audio:
    if "mp3" in opened:
        return BytesAudio(opened["mp3"][row].tobytes())
    return SamplesAudio(opened["waveform"][row].astype(np.float32) / PCM_16_SCALE, RATE)


def _unpacked(targets: np.ndarray, classes: int) -> np.ndarray:
    """Targets (..., classes), which PaSST packs into bits."""
    if targets.shape[-1] == classes:
        return targets
    return np.unpackbits(targets, axis=-1, count=classes)


def _h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise DataError(
            "reading HDF5 needs h5py; install it with: pip install 'audiotag-dcls[train]'"
        ) from error
    return h5py
