"""From what a user names (files, folders, a list) to audio files, one by one."""

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from audiotag.audio.extensions import AUDIO_EXTENSIONS

LISTING = "-"  # the path that stands for a list of paths


def find_files(
    paths: Iterable[str | Path],
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    listing: Iterable[str] = (),
) -> Iterator[Path]:
    """Files to work on, in the order named, folders searched in alphabetical order.

    A folder gives the files below it with an audio suffix (any suffix, with `include`), links
    followed, hidden ones left out. A path that is no folder is returned as it is, even if there
    is no such file: opening it will say so. A file that is found twice is returned once.

    Args:
        paths: Files, folders, or `-` for the paths in `listing`.
        include: Globs; only files that match one. A glob without `/` is compared with the name, one
            with `/` with the path below the folder searched; upper and lower case are the same.
        exclude: Globs; no file or folder that matches one.
        listing: Paths of files and folders.
    """
    named = list(paths)
    keep = _Filter(tuple(include), tuple(exclude))
    found = (file for root in _roots(named, listing) for file in _below(root, keep))
    one_folder = len(named) == 1 and str(named[0]) != LISTING
    return found if one_folder else _once(found)


class _Filter:
    """The globs of a search."""

    def __init__(self, include: tuple[str, ...], exclude: tuple[str, ...]) -> None:
        self.include, self.exclude = include, exclude

    def takes(self, path: str, root: str, named: bool) -> bool:
        """Whether a file below `root` is wanted; a `named` one may have any suffix."""
        if _matches(path, root, self.exclude):
            return False
        if self.include:
            return _matches(path, root, self.include)
        return named or os.path.splitext(path)[1].lower() in AUDIO_EXTENSIONS

    def enters(self, path: str, root: str) -> bool:
        """Whether a folder below `root` is searched."""
        return not _matches(path, root, self.exclude)


def _matches(path: str, root: str, globs: tuple[str, ...]) -> bool:
    name = os.path.basename(path).lower()
    below = os.path.relpath(path, root).replace(os.sep, "/").lower() if globs else ""
    return any(fnmatchcase(below if "/" in glob else name, glob.lower()) for glob in globs)


def _roots(named: list[str | Path], listing: Iterable[str]) -> Iterator[str]:
    for path in named:
        if str(path) == LISTING:
            yield from listing
        else:
            yield str(path)


def _below(root: str, keep: _Filter) -> Iterator[Path]:
    if os.path.isdir(root):
        yield from map(Path, _walk(root, root, keep, ()))
    elif keep.takes(root, os.path.dirname(root) or os.curdir, named=True):
        yield Path(root)


def _walk(
    folder: str, root: str, keep: _Filter, above: tuple[tuple[int, int], ...]
) -> Iterator[str]:
    """Audio files below a folder; `above` identifies the folders it lies in, to cut link loops."""
    try:
        status = os.stat(folder)
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name[0] != ".")
    except OSError:
        yield folder  # reported when it is opened, as a file that cannot be read is
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for path in (os.path.join(folder, name) for name in names):
        if os.path.isdir(path):
            if keep.enters(path, root):
                yield from _walk(path, root, keep, (*above, here))
        elif os.path.isfile(path) and keep.takes(path, root, named=False):
            yield path


def _once(files: Iterable[Path]) -> Iterator[Path]:
    seen: set[str] = set()
    for file in files:
        key = os.path.abspath(file)
        if key not in seen:
            seen.add(key)
            yield file
