"""Locks: only one process at a time writes an output."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from audiotag.errors import OutputError
from audiotag.runtime.files import REMEDY, explained, make_folder

try:
    import fcntl
except ImportError:  # on Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(path: Path, held: str, remedy: str = REMEDY, name: Path | None = None) -> Iterator[None]:
    """A context in which this process holds the lock of a file; a kill releases it too.

    The file and its folder are made; the file is removed at the end. A file that a killed process
    has left is taken over. If the file system has no locks, the user must take care.

    Args:
        path: A file that serves only as the lock.
        held: The message if another process holds the lock: what it is doing, and the remedy.
        remedy: The remedy that the message names if the file cannot be made.
        name: Its name in that message; `path` if None.

    Raises:
        OutputError: If another process holds the lock, or the file cannot be made.
    """
    if fcntl is None:
        yield
        return
    with explained(name or path, remedy):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _held(path, held)
    with file:
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()


@contextmanager
def locked_folder(folder: Path, held: str, remedy: str = REMEDY) -> Iterator[None]:
    """A context in which this process holds the lock of a folder, which is made if it is missing.

    A folder that was made and is still empty at the end is removed.

    Args:
        folder: The folder to write into.
        held: As of `locked`.
        remedy: As of `locked`.

    Raises:
        OutputError: If another process holds the lock, or the folder cannot be written into.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder, remedy)
    try:
        with locked(lock_of(folder), held, remedy, folder):
            yield
    finally:
        for path in made:
            with suppress(OSError):  # it is not empty
                path.rmdir()


def lock_of(target: Path) -> Path:
    """The file that is the lock of an output: in a folder, or hidden beside a file."""
    if target.is_dir():
        return target / ".audiotag.lock"
    name = os.fsencode(target.name)[: 255 - len("..lock")]
    return target.with_name(f".{os.fsdecode(name)}.lock")


def _held(path: Path, held: str) -> BinaryIO:
    """The file, locked until it is closed."""
    while True:
        file = _opened(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise OutputError(held) from error
        except OSError:
            return file  # a network file system without locks
        if _is_in_place(file, path):
            return file
        file.close()  # its last holder has removed it since it was opened


def _opened(path: Path) -> BinaryIO:
    """Open, or make, a file that serves only as a lock; a link is not followed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    return open(os.open(path, flags, 0o666), "r+b", buffering=0)


def _is_in_place(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False
