"""Locks: that only one process writes an output at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from audiotag.errors import OutputError
from audiotag.runtime.files import REMEDY, explained

try:
    import fcntl
except ImportError:  # on Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(path: Path, held: str, remedy: str = REMEDY, name: Path | None = None) -> Iterator[None]:
    """A context in which no other process holds the lock of this file; a kill ends it too.

    The file is made, with the folder that it lies in, and removed at the end. One that a killed
    process has left is taken over. Where the file system has no locks, the user must take care.

    Args:
        path: A file that is nothing but the lock.
        held: The message where another process holds it: what it does, and the remedy.
        remedy: What the message of an error says to do where the file cannot be made.
        name: What that message calls it; `path` if None.

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
    """A file that is only there to be locked; a link is not followed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    return open(os.open(path, flags, 0o666), "r+b", buffering=0)


def _is_in_place(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False
