"""From what a user names (files, folders, a list) to audio files, one by one."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from audiotag.audio.extensions import AUDIO_EXTENSIONS, HEAD, is_recording

LISTING = "-"  # the path that stands for a list of paths
Skip = Callable[
    [str, str], None
]  # called with the reason and the path of each thing that a search passes over
# Why a search passes over something.
NOT_AUDIO = "not audio by name"
BROKEN = "links that lead nowhere"
LOOP = "links to a folder above"
SPECIAL = "neither files nor folders"
HIDDEN = "hidden recordings"
USUAL = (NOT_AUDIO, HIDDEN)
FOLDER = "a folder"  # not a reason, but a result of `_kind`
NAMED = 5  # suffixes or paths that a summary names
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_+-")  # of a suffix; others end sentences


class Skipped:
    """What searches passed over, and why."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._suffixes: Counter[str] = Counter()  # of what is not audio by name
        self._named: dict[str, list[str]] = {}  # some of the others

    def add(self, reason: str, path: str) -> None:
        """Count one more."""
        self._counts[reason] += 1
        named = self._named.setdefault(reason, [])
        if reason == NOT_AUDIO:
            self._suffixes[_suffix(path) or "without suffix"] += 1
        elif len(named) <= NAMED:
            named.append(path)

    def describe(self, in_full: bool = True) -> str:
        """Counts by reason; empty if nothing was passed over.

        Args:
            in_full: Whether to include what searches usually pass over, too.
        """
        reasons = [why for why in self._counts if in_full or why not in USUAL]
        return "; ".join(f"{why}: {self._counts[why]} ({self._examples(why)})" for why in reasons)

    def _examples(self, reason: str) -> str:
        suffixes = [f"{name} {count}" for name, count in self._suffixes.most_common()]
        named = suffixes if reason == NOT_AUDIO else self._named[reason]
        return ", ".join(named[:NAMED] + ["..."] * (len(named) > NAMED))


def find_files(
    paths: Iterable[str | Path],
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    listing: Iterable[str] = (),
    skip: Skip = lambda reason, path: None,
) -> Iterator[Path]:
    """Files to work on, in the order named, folders searched in alphabetical order.

    In a folder, files are found that have an audio suffix, or that have none and begin as audio
    does; with `include`, all files that match. Links are followed, hidden files are left out. A
    path that is not a folder is returned unchanged, even if there is no such file: opening it will
    raise the error. So it is with broken links, and folders that cannot be listed. A file that is
    found twice is returned once.

    Args:
        paths: Files, folders, or `-` for the paths in `listing`.
        include: Globs; only files that match one. A glob without `/` is compared with the name, one
            with `/` with the path below the folder searched; upper and lower case are the same.
        exclude: Globs; no file or folder that matches one.
        listing: Paths of files and folders.
        skip: Called with everything that is passed over, except because of a glob.
    """
    named = list(paths)
    keep = _Filter(tuple(include), tuple(exclude), skip)
    found = (file for root in _roots(named, listing) for file in _below(root, keep))
    one_folder = len(named) == 1 and str(named[0]) != LISTING
    return found if one_folder else _once(found)


class _Filter:
    """The globs of a search, and the function to call with what it passes over."""

    def __init__(self, include: tuple[str, ...], exclude: tuple[str, ...], skip: Skip) -> None:
        self.include, self.exclude, self.skip = include, exclude, skip

    def takes(self, path: str, root: str) -> bool:
        """Whether the globs allow a file that a user named."""
        if _matches(path, root, self.exclude):
            return False
        return not self.include or _matches(path, root, self.include)

    def finds(self, path: str, root: str, otherwise: str = NOT_AUDIO) -> bool:
        """Whether something below `root` is wanted; if it does not look like a recording, it is
        passed over for the reason `otherwise`."""
        if not self.takes(path, root):
            return False
        if self.include or _suffix(path) in AUDIO_EXTENSIONS:
            return True
        if otherwise == NOT_AUDIO and not _suffix(path) and _begins_as_audio(path):
            return True
        self.skip(otherwise, path)
        return False

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
    elif keep.takes(root, os.path.dirname(root) or os.curdir):
        yield Path(root)


def _walk(
    folder: str, root: str, keep: _Filter, above: tuple[tuple[int, int], ...]
) -> Iterator[str]:
    """Audio files below a folder; `above` identifies the folders it lies in, to cut link loops."""
    try:
        status = os.stat(folder)
        here = (status.st_dev, status.st_ino)
        if here in above:
            keep.skip(LOOP, folder)
            return
        names, others = _listed(folder, keep.skip)
    except OSError:
        yield folder  # reported when it is opened, as a file that cannot be read is
        return
    for name in names:
        path, kind = os.path.join(folder, name), others.get(name)
        if kind == FOLDER:
            if keep.enters(path, root):
                yield from _walk(path, root, keep, (*above, here))
        elif kind == SPECIAL:
            keep.skip(SPECIAL, path)
        elif keep.finds(path, root, kind or NOT_AUDIO):
            yield path


def _listed(folder: str, skip: Skip) -> tuple[list[str], dict[str, str]]:
    """Names in a folder, sorted, and the kinds of those that are not files."""
    names, others = [], {}
    with os.scandir(folder) as entries:
        for entry in entries:
            kind = _kind(entry)
            if entry.name[0] != ".":
                names.append(entry.name)
                if kind is not None:
                    others[entry.name] = kind
            elif kind is None and _suffix(entry.name) in AUDIO_EXTENSIONS:
                skip(HIDDEN, entry.path)
    return sorted(names), others


def _kind(entry: os.DirEntry[str]) -> str | None:
    """The kind of an entry of a folder; None for a file."""
    try:
        if entry.is_file():
            return None
        if entry.is_dir():
            return FOLDER
    except OSError:  # a link in a circle, or through a folder that may not be searched
        return BROKEN
    return BROKEN if entry.is_symlink() else SPECIAL


def _suffix(path: str) -> str:
    """The suffix of a name, in lower case; empty if the text after the last dot is not one."""
    suffix = os.path.splitext(path)[1].lower()
    letters = suffix[1:]
    is_suffix = LETTERS.issuperset(letters) and not letters.isdecimal()
    return suffix if is_suffix or suffix in AUDIO_EXTENSIONS else ""


def _begins_as_audio(path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:
            return is_recording(file.read(HEAD))
    except OSError:
        return False


def _once(files: Iterable[Path]) -> Iterator[Path]:
    seen: set[str] = set()
    for file in files:
        key = os.path.abspath(file)
        if key not in seen:
            seen.add(key)
            yield file
