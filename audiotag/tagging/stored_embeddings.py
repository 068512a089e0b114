"""Stored embeddings, read back: what `audiotag embed` wrote as npz or parquet, window by window.

Windows are read in blocks, so that a million of them need not fit into memory.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from audiotag.errors import DataError
from audiotag.tagging.embedding_store import PARQUET_MADE_WITH, UNREADABLE
from audiotag.tagging.embeddings_npz import MADE_WITH, read_header, read_texts
from audiotag.tagging.provenance import Provenance

ROWS = 2**14  # windows read at once
SUFFIXES = (".npz", ".parquet")
Block = tuple[np.ndarray, np.ndarray, np.ndarray]  # numbers of files, starts in s, windows (N, D)


@dataclass(frozen=True)
class StoredEmbeddings:
    """The embeddings in a file.

    Attributes:
        source: The file.
        made: What they were made with.
        paths: The recordings, as they were named.
        durations: Of the recordings, in seconds, (files,).
    """

    source: Path
    made: Provenance
    paths: list[str]
    durations: np.ndarray

    def blocks(self) -> Iterator[Block]:
        """All windows, in order.

        Raises:
            DataError: If the file is damaged.
        """
        read = _npz_blocks if self.source.suffix == ".npz" else _parquet_blocks
        with _explained(self.source):
            for files, starts, windows in read(self.source):
                if files.dtype.kind not in "iu" or _is_outside(files, len(self.paths)):
                    raise ValueError("its windows are of no recording")
                yield files, starts, windows

    def clips(self) -> np.ndarray:
        """The mean of each recording's windows, (files, D) float32; errors as `blocks`."""
        total: np.ndarray | None = None
        count = np.zeros(len(self.paths))
        for files, _, windows in self.blocks():
            if total is None:
                total = np.zeros((len(self.paths), windows.shape[1]))
            np.add.at(total, files, windows)
            np.add.at(count, files, 1)
        if total is None:
            return np.zeros((len(self.paths), 0), np.float32)
        return (total / np.maximum(count, 1)[:, None]).astype(np.float32)


def open_embeddings(path: Path) -> StoredEmbeddings:
    """The embeddings in an npz or parquet file of `audiotag embed`.

    Raises:
        DataError: If it is none; names it.
        ModuleNotFoundError: If it is parquet, and pyarrow is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} is none of {', '.join(SUFFIXES)}, as audiotag embed writes them")
    with _explained(path):
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                made = Provenance.from_json(next(read_texts(archive, MADE_WITH)))
                durations, paths = _array(archive, "durations"), list(read_texts(archive, "paths"))
                if durations.shape != (len(paths),):
                    raise ValueError("its arrays differ in length")
                return StoredEmbeddings(path, made, paths, durations)
        parquet: Any = import_module("pyarrow.parquet")
        with parquet.ParquetFile(path) as file:
            made = Provenance.from_json(file.schema_arrow.metadata[PARQUET_MADE_WITH])
            table = file.read(["path", "duration", "error"]).to_pylist()
        kept = [row for row in table if row["error"] is None]
        durations = np.array([row["duration"] for row in kept], float)
        return StoredEmbeddings(path, made, [row["path"] for row in kept], durations)


class _explained:
    """A context in which a damaged file becomes a DataError that names it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        damaged = (*UNREADABLE, OSError, EOFError, zipfile.BadZipFile, RuntimeError)
        if isinstance(error, damaged) and not isinstance(error, DataError):
            reason = getattr(error, "strerror", None) or "it is damaged, or of something else"
            raise DataError(f"{self._path} holds no embeddings of audiotag ({reason})") from error


def _npz_blocks(path: Path) -> Iterator[Block]:
    with zipfile.ZipFile(path) as archive:
        files, starts = _array(archive, "window_files"), _array(archive, "window_starts")
        with archive.open("windows.npy") as member:
            shape, dtype = read_header(member)
            if len(shape) != 2 or len(files) != shape[0] or len(starts) != shape[0]:
                if shape == (0,) and not len(files):
                    return
                raise ValueError("its arrays differ in length")
            for begin in range(0, shape[0], ROWS):
                end = min(begin + ROWS, shape[0])
                data = member.read((end - begin) * shape[1] * dtype.itemsize)
                windows = np.frombuffer(data, dtype).reshape(end - begin, shape[1])
                yield files[begin:end], starts[begin:end], windows


def _parquet_blocks(path: Path) -> Iterator[Block]:
    parquet: Any = import_module("pyarrow.parquet")
    number = 0
    columns = ["window_starts", "windows", "error"]
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(64, columns=columns):
            for row in batch.to_pylist():
                if row["error"] is None:
                    windows = np.array(row["windows"], np.float32)
                    starts = np.array(row["window_starts"], float)
                    yield np.full(len(windows), number), starts, windows
                    number += 1


def _is_outside(numbers: np.ndarray, count: int) -> bool:
    return bool(len(numbers)) and (numbers.min() < 0 or numbers.max() >= count)


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as member:
        shape, dtype = read_header(member)
        return np.frombuffer(member.read(), dtype).reshape(shape)
