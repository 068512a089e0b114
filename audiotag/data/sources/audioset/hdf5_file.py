"""The clips of one of AudioSet's HDF5 files.

PANNs: audio_name, waveform (N, samples) of int16 at 32 kHz, target (N, 527) of bool.
PaSST: audio_name, mp3 (N,) of bytes, target (N, 66) of packed bits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from audiotag.errors import DataError

RATE = 32_000  # Hz, of PANNs' waveforms
INT16_MAX = 32_767
ROWS = 65_536  # rows whose targets are in memory at once
MAX_ROWS = 50_000_000  # of a file; AudioSet has 2 million clips
MAX_SAMPLES = 600 * RATE  # of a clip
# Errors that h5py raises if a file is damaged, depending on where HDF5 finds the damage.
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
        mp3: The bytes of an MP3 file, or None.
        samples: Samples (T,) int16 at 32 kHz, if there is no MP3.
    """

    name: str
    classes: tuple[int, ...]
    mp3: bytes | None
    samples: np.ndarray | None


def wanted_rows(path: Path, wanted: Sequence[int], classes: int) -> np.ndarray:
    """Numbers of the rows that have one of the wanted classes; of all rows if there are none.

    Raises:
        DataError: As `own_sets`.
        Exception: One of `DAMAGE`, if the file is damaged.
    """
    with h5py_module().File(path) as opened:
        targets = own_sets(path, opened)["target"]
        if not wanted:
            return np.arange(len(targets))
        has_one = [
            _unpacked(targets[first : first + ROWS], classes)[:, list(wanted)]
            for first in range(0, len(targets), ROWS)
        ]
    return np.flatnonzero(np.concatenate(has_one).any(1))


def own_sets(path: Path, opened: Any) -> dict[str, Any]:
    """The data sets of a file, by name, whose data the file itself contains.

    Raises:
        DataError: If one is missing, or its data is in another file.
        ValueError: If they do not fit together.
    """
    audio = "mp3" if "mp3" in opened else "waveform"
    missing = [x for x in ("audio_name", "target") if x not in opened]
    missing += ["waveform or mp3"] * (audio not in opened)
    if missing:
        raise DataError(f"{path} has no {' and no '.join(missing)}; PANNs' and PaSST's files do")
    sets = {name: _own(path, opened, name) for name in ("audio_name", "target", audio)}
    if len({len(x) for x in sets.values()}) > 1 or len(sets["target"]) > MAX_ROWS:
        raise ValueError("its data sets have different numbers of rows, or too many")
    if sets[audio].ndim > 1 and sets[audio].shape[1] > MAX_SAMPLES:
        raise ValueError(f"a clip of it is said to have {sets[audio].shape[1]:,} samples")
    return sets


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


def read_row(sets: Mapping[str, Any], row: int, classes: int) -> Row:
    """A clip; errors as `wanted_rows`."""
    name = sets["audio_name"][row].decode()
    numbers = tuple(np.flatnonzero(_unpacked(sets["target"][row], classes)).tolist())
    if "mp3" in sets:
        return Row(name, numbers, np.asarray(sets["mp3"][row], np.uint8).tobytes(), None)
    samples = sets["waveform"][row]
    if samples.dtype.kind == "f":  # in [-1, 1]
        samples = np.rint(np.clip(samples, -1, 1) * np.float32(INT16_MAX))
    elif samples.dtype != np.int16:
        raise ValueError(f"its samples are of type {samples.dtype}")
    return Row(name, numbers, None, samples.astype(np.int16))


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
