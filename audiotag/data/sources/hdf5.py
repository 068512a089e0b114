"""AudioSet as HDF5 files, as PANNs (arXiv 1912.10211) or PaSST (arXiv 2110.05069) make them.

PANNs: audio_name, waveform (N, samples) of int16 at 32 kHz, target (N, 527) of bool.
PaSST: audio_name, mp3 (N,) of bytes, target (N, 66) of packed bits.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from audiotag.data.recordings import Audio, BytesAudio, Failure, Recording, SamplesAudio
from audiotag.data.shards import PCM_16_SCALE
from audiotag.data.sources.segments import YOUTUBE_ID
from audiotag.errors import DataError

SUFFIXES = (".h5", ".hdf", ".hdf5")
RATE = 32_000  # Hz, of PANNs' waveforms
ROWS = 65_536  # whose targets are held at once


@dataclass(frozen=True)
class _File:
    """An HDF5 file.

    Attributes:
        path: Where it is.
        name: What messages call it.
        split: Of its clips.
        rows: Numbers of the rows that are taken; nothing if it cannot be opened.
    """

    path: Path
    name: str
    split: str
    rows: np.ndarray | None

    def __len__(self) -> int:
        return 1 if self.rows is None else len(self.rows)


class Hdf5Source:
    """Clips of HDF5 files, read one by one.

    A clip that cannot be read is a failure, and so is a file that cannot be opened.

    Args:
        folder: That the files are below.
        splits: Split of each file, by its path below the folder, in order.
        names: Label name of each mid, in the order of the targets.
        wanted: Only clips that have one of these mids; all if none.

    Raises:
        DataError: If h5py is not installed, or a file has another layout.
    """

    def __init__(
        self,
        folder: Path,
        splits: Mapping[str, str],
        names: Mapping[str, str],
        wanted: Collection[str] = (),
    ) -> None:
        self._h5py = _import_h5py()
        self.labels: tuple[str, ...] | None = tuple(names.values())
        classes = [number for number, mid in enumerate(names) if mid in wanted]
        self._files = [
            _File(folder / name, name, split, self._rows(folder / name, classes))
            for name, split in splits.items()
        ]
        known = [(x.name, x.split, len(x), x.path.stat().st_size) for x in self._files]
        self.fingerprint = hashlib.sha256(repr((known, classes)).encode()).hexdigest()

    def __len__(self) -> int:
        return sum(map(len, self._files))

    def recordings(self, first: int, last: int) -> Iterator[Recording | Failure]:
        """As `Source.recordings`; files before the first recording are not opened."""
        position = 0
        for file in self._files:
            begin, end = max(first - position, 0), min(last - position, len(file))
            if begin < end:
                yield from self._of_file(file, begin, end)
            position += len(file)

    def _of_file(self, file: _File, begin: int, end: int) -> Iterator[Recording | Failure]:
        if file.rows is None:
            yield Failure(file.name, "cannot be opened as HDF5; get it anew")
            return
        with self._h5py.File(file.path) as opened:
            for row in file.rows[begin:end].tolist():
                try:
                    yield self._recording(file, opened, row)
                except OSError as error:
                    yield Failure(f"{file.name}, row {row}", f"cannot be read ({error})")

    def _recording(self, file: _File, opened: Any, row: int) -> Recording:
        assert self.labels is not None
        name = opened["audio_name"][row].decode()
        numbers = np.flatnonzero(_unpacked(opened["target"][row], len(self.labels)))
        return Recording(
            f"{file.name}/{name}",
            _audio(opened, row),
            tuple(self.labels[number] for number in numbers),
            file.split,
            key=_key(name),
        )

    def _rows(self, path: Path, classes: list[int]) -> np.ndarray | None:
        """Numbers of the rows that have one of the classes, all where none is asked for."""
        try:
            with self._h5py.File(path) as opened:
                _check_layout(path, opened)
                targets = opened["target"]
                if not classes:
                    return np.arange(len(targets))
                has_one = [
                    _unpacked(targets[first : first + ROWS], len(self.labels or ()))[:, classes]
                    for first in range(0, len(targets), ROWS)
                ]
        except OSError:
            return None
        return np.flatnonzero(np.concatenate(has_one).any(1))


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


def _import_h5py() -> ModuleType:
    try:
        import h5py
    except ImportError as error:
        raise DataError(
            "reading HDF5 needs h5py; install it with: pip install 'audiotag-dcls[hdf5]'"
        ) from error
    return h5py
