"""Embeddings as an npz file of arrays; `embeddings` says what is in it.

Its arrays lie one after the other, each after its size, so they can only be written when all
recordings are known. Arrays of an earlier run are copied.
"""

import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from audiotag.tagging.embedding_store import (
    UNREADABLE,
    Content,
    Earlier,
    EmbeddingStore,
    Stored,
    not_resumable,
)
from audiotag.tagging.provenance import Provenance

MADE_WITH = "made_with"
TEXTS_AT_ONCE = 1024
DAMAGED = (*UNREADABLE, OSError, EOFError, zipfile.BadZipFile)


def read_done(path: Path) -> Earlier:
    """The content of an npz of an earlier run.

    Raises:
        DataError: If it is damaged, or not an output of `embed`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            made = Provenance.from_json(next(read_texts(archive, MADE_WITH)))
            failed = zip(
                read_texts(archive, "failed_paths"),
                read_texts(archive, "failed_errors"),
                strict=True,
            )
            return Earlier(made, list(read_texts(archive, "paths")), dict(failed))
    except DAMAGED as error:
        raise not_resumable(path, error) from error


def write(file: IO[bytes], content: Content) -> None:
    """Write an npz."""
    done = [record for record in content.store.records if record.error is None]
    with ExitStack() as stack:
        old = None
        if content.earlier is not None:
            old = stack.enter_context(zipfile.ZipFile(content.earlier))
        archive = stack.enter_context(zipfile.ZipFile(file, "w"))
        paths = [] if old is None else list(read_texts(old, "paths"))
        for column in _columns(content.store, done, len(paths)):
            column.write(archive, old)
        _write_texts(archive, "paths", [*paths, *(record.path for record in done)])
        _write_texts(archive, "failed_paths", list(content.failed))
        _write_texts(archive, "failed_errors", list(content.failed.values()))
        _write_texts(archive, MADE_WITH, [content.made.to_json()], shape=())


class _Column:
    """One array of the npz: the rows of an earlier file, then those in the store."""

    def __init__(
        self, name: str, dtype: type, shape: tuple[int, ...], rows: Iterable[np.ndarray]
    ) -> None:
        self._name, self._dtype, self._shape, self._rows = name, np.dtype(dtype), shape, rows

    def write(self, archive: zipfile.ZipFile, old: zipfile.ZipFile | None) -> None:
        """Write the array into an archive."""
        with ExitStack() as stack:
            shape = self._shape
            if old is not None:
                source = stack.enter_context(old.open(f"{self._name}.npy"))
                before, _ = read_header(source)
                shape = (before[0] + shape[0], *(shape[1:] if shape[0] else before[1:]))
            member = stack.enter_context(archive.open(f"{self._name}.npy", "w", force_zip64=True))
            _write_header(member, shape, self._dtype)
            if old is not None:
                shutil.copyfileobj(source, member)
            for rows in self._rows:
                member.write(rows.astype(self._dtype).tobytes())


def _columns(store: EmbeddingStore, done: list[Stored], before: int) -> Iterator[_Column]:
    """The arrays of recordings in a store, which come after `before` others."""
    count, size = sum(x.windows for x in done), done[0].size if done else 0
    clips = (len(done), size) if done else (0,)
    windows = (count, size) if done else (0,)
    durations = (np.array([x.duration]) for x in done)
    files = (np.full(x.windows, number) for number, x in enumerate(done, before))
    yield _Column("durations", np.float64, (len(done),), durations)
    yield _Column("clips", np.float32, clips, store.clips(done))
    yield _Column("windows", np.float32, windows, store.windows(done))
    yield _Column("window_starts", np.float64, (count,), store.starts(done))
    yield _Column("window_files", np.int64, (count,), files)


def read_texts(archive: zipfile.ZipFile, name: str) -> Iterator[str]:
    """The texts of an array, a few at a time in memory."""
    with archive.open(f"{name}.npy") as member:
        shape, dtype = read_header(member)
        left = int(np.prod(shape))
        while left:
            count = min(left, TEXTS_AT_ONCE)
            data = member.read(count * dtype.itemsize)
            yield from np.frombuffer(data, dtype, count).tolist()
            left -= count


def _write_texts(
    archive: zipfile.ZipFile, name: str, texts: list[str], shape: tuple[int, ...] | None = None
) -> None:
    dtype = np.dtype(f"U{max(map(len, texts), default=1) or 1}")
    rest = iter(texts)
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        _write_header(member, (len(texts),) if shape is None else shape, dtype)
        while some := list(islice(rest, TEXTS_AT_ONCE)):
            member.write(np.array(some, dtype).tobytes())


def _write_header(member: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> None:
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(member, header)


def read_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the array that an npy file holds."""
    version = np.lib.format.read_magic(member)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, dtype = read[version](member)
    return shape, dtype
