"""Replacing: a file appears under its name only when it is whole."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from audiotag.errors import DataError

PARTIAL = ".*.partial"  # names of files on their way


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A file to write, moved to `path` at the end; taken away if an exception passes through.

    The temporary file is hidden, lies in the same folder, and has the usual permissions. A link
    stays one: what it points to is replaced.
    """
    path = Path(os.path.realpath(path))
    partial = path.with_name(f".{secrets.token_hex(6)}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def committed(path: Path) -> Iterator[BinaryIO]:
    """A file to write with `write_all`, moved to `path` and synced at the end.

    A kill leaves `.<name>.partial`, which the next writer of the same file takes over.

    Raises:
        DataError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    with reported(path):
        # Unbuffered: closing a full disk's file has nothing left that could fail.
        file = open(partial, "wb", buffering=0)
    try:
        with file:
            yield file
            with reported(path):
                os.fsync(file.fileno())
        with reported(path):
            os.replace(partial, path)
            _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_all(file: BinaryIO, data: bytes, path: Path) -> None:
    """Write all of `data` to the file that becomes `path`.

    Raises:
        DataError: If it cannot be written.
    """
    rest = memoryview(data)
    with reported(path):
        while rest:
            rest = rest[file.write(rest) :]


def commit(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all.

    Raises:
        DataError: If it cannot be written.
    """
    with committed(path) as file:
        write_all(file, data, path)


def make_folder(folder: Path) -> None:
    """Make a folder and those it lies in, where they are not there.

    Raises:
        DataError: If it cannot be made.
    """
    with reported(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Tell an operating system's error on writing `path` as a DataError that names the remedy."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}); make room or rights for it "
            "and run the same command again: it goes on where it stopped"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Keep a move over a power cut, where the file system syncs folders."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
