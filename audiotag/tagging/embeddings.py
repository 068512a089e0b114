"""Embeddings on disk: one npz or parquet file for many recordings, written as they come.

npz: `paths` (F,), `durations` (F,), `clips` (F, D), and for all windows one after the other
`windows` (N, D), `window_starts` (N,) and `window_files` (N,), the row of `paths` a window belongs
to; `failed_paths`, `failed_errors`. parquet: a row for each file: `path`, `duration`, `clip`,
`window_starts`, `windows`, `error`.
"""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from audiotag.runtime.files import explained, replaced
from audiotag.tagging.results import FileEmbedding

SUFFIXES = (".npz", ".parquet")
REMEDY = "make room or rights for it, or choose another --output"


class EmbeddingFile(Protocol):
    """Takes embeddings."""

    def write(self, result: FileEmbedding) -> None:
        """Take those of one more file."""


@contextmanager
def embedding_file(path: Path) -> Iterator[EmbeddingFile]:
    """A file of embeddings by its suffix; appears when whole, also if interrupted by the user.

    Raises:
        ValueError: As `check_output`.
        OutputError: If it cannot be written: on entering, on leaving, or from its `write`.
    """
    check_output(path)
    writer = _npz if path.suffix.lower() == ".npz" else _parquet_writer()
    interrupt = None
    with replaced(path, REMEDY) as file, writer(file, path) as taker:
        try:
            yield taker
        except KeyboardInterrupt as error:
            interrupt = error  # what is done is kept
    if interrupt:
        raise interrupt


def check_output(path: Path) -> None:
    """Raise a ValueError unless the suffix is one of `SUFFIXES` and there is no such file yet."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"the name {path} must end in {' or '.join(SUFFIXES)}")
    if path.exists():
        raise ValueError(f"{path} exists: remove it or choose another --output")


def _parquet_writer() -> Callable[[IO[bytes], Path], AbstractContextManager[EmbeddingFile]]:
    from audiotag.tagging.embeddings_parquet import parquet  # pyarrow, which npz does without

    return parquet


class _Column:
    """Rows of one array, kept in a file until their number is known, as an npz needs it first."""

    def __init__(self, name: str, folder: str, dtype: type) -> None:
        self.name, self._dtype = name, np.dtype(dtype)
        self._rows = open(Path(folder) / name, "w+b", buffering=0)
        self._shape: tuple[int, ...] = (0,)

    def extend(self, rows: np.ndarray) -> None:
        """Add rows (n, ...)."""
        rest = memoryview(np.ascontiguousarray(rows, self._dtype).tobytes())
        while rest:
            rest = rest[self._rows.write(rest) :]
        self._shape = (self._shape[0] + len(rows), *rows.shape[1:])

    def save(self, archive: zipfile.ZipFile) -> None:
        """Write the array into the archive."""
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": self._shape,
        }
        self._rows.seek(0)
        with archive.open(f"{self.name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_2_0(member, header)
            shutil.copyfileobj(self._rows, member)
        self._rows.close()


class _Npz:
    """Arrays on their way to an npz; only paths and errors are held in memory."""

    def __init__(self, folder: str, path: Path) -> None:
        self._path = path
        self.durations = _Column("durations", folder, np.float64)
        self.clips = _Column("clips", folder, np.float32)
        self.windows = _Column("windows", folder, np.float32)
        self.window_starts = _Column("window_starts", folder, np.float64)
        self.window_files = _Column("window_files", folder, np.int64)
        self.paths: list[str] = []
        self.failed: list[tuple[str, str]] = []

    def write(self, result: FileEmbedding) -> None:
        """Take the embeddings of one file."""
        if result.error is not None:
            self.failed.append((result.path, result.error))
            return
        with explained(self._path, REMEDY):
            self.window_files.extend(np.full(len(result.starts), len(self.paths)))
            self.durations.extend(np.array([result.duration]))
            self.clips.extend(result.clip[None])
            self.windows.extend(result.windows)
            self.window_starts.extend(result.starts)
        self.paths.append(result.path)

    def save(self, archive: zipfile.ZipFile) -> None:
        """Write all arrays into the archive."""
        for column in vars(self).values():
            if isinstance(column, _Column):
                column.save(archive)
        _save_texts(archive, "paths", self.paths)
        _save_texts(archive, "failed_paths", [path for path, _ in self.failed])
        _save_texts(archive, "failed_errors", [error for _, error in self.failed])


def _save_texts(archive: zipfile.ZipFile, name: str, texts: list[str]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.array(texts, dtype=np.str_), allow_pickle=False)


@contextmanager
def _npz(file: IO[bytes], path: Path) -> Iterator[_Npz]:
    with tempfile.TemporaryDirectory(prefix=".audiotag-", dir=path.parent) as temporary:
        arrays = _Npz(temporary, path)
        yield arrays
        with zipfile.ZipFile(file, "w") as archive:
            arrays.save(archive)
