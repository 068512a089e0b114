"""A file is written whole or not at all: it gets its name only when all of it is written."""

import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from audiotag.errors import OutputError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]
if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PARTIAL = ".*.partial"  # names of files that are being written
DRAWN = f".{12 * '[0-9a-f]'}.partial"  # those with random names, which no later writer takes over
FOLDERS_SWEPT = 2**10  # folders to remember
REMEDY = "make room or rights for it, or choose another place"


def replaced(
    path: Path, remedy: str = REMEDY, sync: bool = True
) -> AbstractContextManager[BinaryIO]:
    """A context that yields a file to write, which replaces `path` at the end.

    Until then it is hidden in the same folder, which is made if it does not exist. An exception
    removes it; a kill leaves `.<name>.partial`, which the next writer of the same file takes over.
    A link stays a link: the file that it points to is replaced. A pipe or a device cannot be
    replaced, and is written to.

    Args:
        path: The file.
        remedy: The remedy that error messages name.
        sync: Whether to wait for the disk, so that a power cut leaves the old file or the new one.
            On a virtual machine's disk this takes 17 ms: too much for one of many small files.

    Raises:
        OutputError: If the file cannot be written: on entering, on leaving, or from its `write`.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # for a folder, this fails
        return _written_in_place(path, remedy)
    return _moved_into_place(path, remedy, sync)


@contextmanager
def appended(
    path: Path, remedy: str = REMEDY, size: int | None = None, name: Path | None = None
) -> Iterator[BinaryIO]:
    """A context that yields a file to append to; it and its folder are made if they do not exist.

    Args:
        path: The file.
        remedy: The remedy that error messages name.
        size: Bytes of it to keep, for instance if its end is damaged; all if None.
        name: Its name in messages; `path` if None.

    Raises:
        OutputError: If the file cannot be written: on entering, or from its `write`.
    """
    with explained(name or path, remedy):
        _make_parent(path)
        file = _File(path, name or path, remedy, "a")
        if size is not None:
            file.truncate(size)
    with file:
        yield file


def make_folder(folder: Path, remedy: str = REMEDY) -> None:
    """Make a folder and its parents, if they do not exist.

    Raises:
        OutputError: If it cannot be made.
    """
    with explained(folder, remedy):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def explained(path: Path | str, remedy: str = REMEDY) -> Iterator[None]:
    """Turn an OSError on writing `path` into an OutputError that names it and the remedy.

    A pipe whose reader has ended is not a failure: its BrokenPipeError is raised unchanged.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path} cannot be written ({reason}); {remedy}") from error


def sweep(folder: Path, names: str = DRAWN) -> None:
    """Remove the unfinished files that killed processes have left in a folder.

    Args:
        folder: The folder.
        names: Pattern of their names; `PARTIAL` for a folder that only audiotag writes to.
    """
    for path in folder.glob(names):
        lock = _lock(path)
        if lock is not None:  # else its writer may be alive
            with suppress(OSError):
                path.unlink()
            os.close(lock)


class _File(io.FileIO):
    """A file whose `write` writes all of the data, or raises an OutputError.

    It has no buffer, so closing it cannot fail.
    """

    def __init__(self, name: Path, path: Path, remedy: str, mode: str = "w") -> None:
        super().__init__(name, mode)
        self._path, self._remedy = path, remedy

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write all of the data; returns its size in bytes."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        with explained(self._path, self._remedy):
            while rest:
                rest = rest[super().write(rest) :]
        return size


@contextmanager
def _written_in_place(path: Path, remedy: str) -> Iterator[BinaryIO]:
    with explained(path, remedy):
        file = _File(path, path, remedy)
    with file:
        yield file


@contextmanager
def _moved_into_place(path: Path, remedy: str, sync: bool) -> Iterator[BinaryIO]:
    target = Path(os.path.realpath(path))
    with explained(path, remedy):
        _make_parent(target)
    _sweep_once(target.parent)
    with _partial_name(target) as partial:
        try:
            with explained(path, remedy):
                file = _File(partial, path, remedy)
            with file:
                yield file
                with explained(path, remedy):
                    if sync:
                        os.fsync(file.fileno())
            with explained(path, remedy):
                os.replace(partial, target)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
    if sync:
        _sync_folder(target.parent)


@lru_cache(FOLDERS_SWEPT)
def _sweep_once(folder: Path) -> None:
    """Sweep a folder when this process first writes into it."""
    sweep(folder)


def _make_parent(path: Path) -> None:
    if not os.path.exists(path.parent):  # if it is a file, opening `path` fails
        path.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def _partial_name(target: Path) -> Iterator[Path]:
    """The name of a file until it becomes `target`, locked so that no other process uses it.

    It is random if another process is writing the same file, if the file system has no locks, or
    if the usual name would be too long.
    """
    partial = target.with_name(f".{target.name}.partial")
    lock = _lock(partial)
    if lock is None:
        partial = target.with_name(f".{os.urandom(6).hex()}.partial")  # as DRAWN
        lock = _lock(partial)
    try:
        yield partial
    finally:
        if lock is not None:
            os.close(lock)


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock of a file; None if it cannot be locked."""
    if fcntl is None:
        return None
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_in_place = os.path.samestat(os.fstat(lock), os.stat(path))
    except OSError:
        is_in_place = False
    if is_in_place:
        return lock
    os.close(lock)  # of another process, or moved by one since it was opened
    return None


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, if the file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
