"""The clips of one of AudioSet's HDF5 files.

PANNs: audio_name, waveform (N, samples) of int16 at 32 kHz, target (N, 527) of bool.
PaSST: audio_name, mp3 (N,) of bytes, target (N, 66) of packed bits.
Others keep PANNs' names, with samples of any type and rate. They may lie in a group of the file.
PANNs' indexes have no waveform, but say in which file each is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from audiotag.data.sources.archives import NoClipsError
from audiotag.data.sources.audioset.hdf5_samples import Waveforms, examine
from audiotag.errors import DataError

INDEX = ("hdf5_path", "index_in_hdf5")
ROWS = 65_536  # whose targets are in memory at once
MAX_ROWS = 50_000_000  # of a file; AudioSet has 2 million clips
MAX_SAMPLES = 20_000_000  # of a clip
# What h5py raises where a file is damaged, as HDF5 came upon it.
DAMAGE = (
    *(OSError, RuntimeError, LookupError, ValueError, TypeError),
    *(AttributeError, ArithmeticError, MemoryError),
)


@dataclass(frozen=True)
class Row:
    """A clip in a file.

    Attributes:
        name: Name of its audio file.
        classes: Numbers of its classes.
        mp3: The bytes of an MP3 file, or nothing.
        samples: (T,) float32 in [-1, 1] where there is no MP3.
        rate: Of the samples, in Hz.
    """

    name: str
    classes: tuple[int, ...]
    mp3: bytes | None
    samples: np.ndarray | None
    rate: int = 0


@dataclass(frozen=True)
class ClipSets:
    """The data sets of a file.

    Attributes:
        names, targets, audio: Of these, a row for each clip.
        waveforms: What the rows of `audio` are; None if they are MP3 files.
    """

    names: Any
    targets: Any
    audio: Any
    waveforms: Waveforms | None

    @property
    def note(self) -> str:
        """What was assumed about the waveforms; "" if nothing."""
        return "" if self.waveforms is None else self.waveforms.note


def wanted_rows(sets: ClipSets, wanted: Sequence[int], classes: int) -> np.ndarray:
    """Numbers of the rows that have one of the wanted classes; of all rows if there are none.

    Raises:
        Exception: One of `DAMAGE`, if the file is damaged.
    """
    targets = sets.targets
    if not wanted:
        return np.arange(len(targets))
    has_one = [
        _unpacked(targets[first : first + ROWS], classes)[:, list(wanted)]
        for first in range(0, len(targets), ROWS)
    ]
    return np.flatnonzero(np.concatenate(has_one).any(1))


def own_sets(path: Path, opened: Any, rate: int | None = None) -> ClipSets:
    """The data sets of a file: those that hold their data themselves.

    Args:
        path: The file.
        opened: What h5py made of it.
        rate: Of waveforms that do not say their own, in Hz.

    Raises:
        NoClipsError: If one is missing.
        DataError: If one lies elsewhere, or the file says a sample rate that is none.
        ValueError: If they do not belong together.
    """
    holder = _holder(opened)
    audio = "mp3" if "mp3" in holder else "waveform"
    missing = [x for x in ("audio_name", "target") if x not in holder]
    missing += ["waveform or mp3"] * (audio not in holder)
    if missing and all(name in holder for name in INDEX):
        raise NoClipsError(
            "is an index of clips whose waveforms are in other files (PANNs' folder waveforms)"
        )
    if missing:
        raise NoClipsError(f"has no {' and no '.join(missing)}; PANNs' and PaSST's files do")
    names, targets, clips = (_own(path, holder, name) for name in ("audio_name", "target", audio))
    if len({len(x) for x in (names, targets, clips)}) > 1 or len(targets) > MAX_ROWS:
        raise ValueError("its data sets have different numbers of rows, or too many")
    if max(clips.shape[1:], default=0) > MAX_SAMPLES:
        raise ValueError(f"a clip of it is said to have {max(clips.shape[1:]):,} samples")
    if audio == "mp3":
        return ClipSets(names, targets, clips, None)
    try:
        return ClipSets(names, targets, clips, examine(clips, [holder, opened], rate))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def _holder(opened: Any) -> Any:
    """The file, or the group in it that has the data sets."""
    h5py = h5py_module()
    for name in () if "target" in opened else opened:
        if isinstance(opened.get(name, getlink=True), h5py.HardLink):
            found = opened[name]
            if isinstance(found, h5py.Group) and "target" in found:
                return found
    return opened


def _own(path: Path, opened: Any, name: str) -> Any:
    """A data set whose data the file itself contains: if it named another file, HDF5 would read any
    file of the machine."""
    h5py = h5py_module()
    link = opened.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink | h5py.SoftLink):
        raise DataError(f"{path}: {name} is a link to {ascii(link.path)}; such files are not read")
    found = opened[name]
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{name} is not a data set")
    if found.external is not None or found.is_virtual:
        raise DataError(f"{path}: the data of {name} lie in another file; such files are not read")
    return found


def read_row(sets: ClipSets, row: int, classes: int) -> Row:
    """A clip; errors as `wanted_rows`."""
    name = sets.names[row]
    name = name.decode() if isinstance(name, bytes) else str(name)
    numbers = tuple(np.flatnonzero(_unpacked(sets.targets[row], classes)).tolist())
    if sets.waveforms is None:
        return Row(name, numbers, np.asarray(sets.audio[row], np.uint8).tobytes(), None)
    samples = sets.waveforms.samples(sets.audio[row])
    return Row(name, numbers, None, samples, sets.waveforms.rate)


def _unpacked(targets: np.ndarray, classes: int) -> np.ndarray:
    """Targets (..., classes), which PaSST packs into bits."""
    if targets.shape[-1] == classes:
        return targets
    return np.unpackbits(targets, axis=-1, count=classes)


def h5py_module() -> ModuleType:
    """The package that reads HDF5.

    Raises:
        DataError: If it is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise DataError(
            "reading HDF5 needs h5py; install it with: pip install 'audiotag-dcls[train]'"
        ) from error
    return h5py
