"""A folder with a file for each result, in the same tree as the inputs."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Self

from audiotag.runtime.files import explained, replaced
from audiotag.tagging.formats import SUFFIXES, Surroundings, make_format
from audiotag.tagging.output import REMEDY, Warn
from audiotag.tagging.provenance import provenance_file
from audiotag.tagging.results import FileTags
from audiotag.tagging.resume import real_path
from audiotag.tagging.text import to_json

FAILURE_SUFFIX = ".error.json"
OUTSIDE = "_outside"  # in an output folder, holds results of files from outside the current folder
LONG = "_long"  # holds results of files whose path would be too long
NAME_BYTES, PATH_BYTES = 255, 4080  # of a file's name and path; a file being written has 9 more
DIGITS = 16  # of a hash that makes a shortened name unique


class ResultFolder:
    """A file for each result, in the same tree as the inputs; each appears when it is whole.

    An input that failed has `<name>.error.json` instead, until it succeeds.

    Args:
        folder: Made if it does not exist.
        root: Inputs below it keep their path below it.
        format: Name of the format.
        around: What the format may want to know; what results are made with.
        resume: Whether results that are there stay.
        warn: Called where there is a result, but not what it was made with.
        is_told: Whether the folder says what it was made with.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        format: str,
        around: Surroundings,
        resume: bool,
        warn: Warn = lambda text: None,
        is_told: bool = False,
    ) -> None:
        self._folder, self._root = folder, root
        self._format, self._around, self._resume = format, around, resume
        self._warn, self._is_told = warn, is_told

    def has(self, path: Path) -> bool:
        """Whether an earlier run has tagged this file."""
        if not (self._resume and self._place(path, SUFFIXES[self._format]).exists()):
            return False
        if not self._is_told:
            self._is_told = True  # once; and what is not known is not said
            self._warn(unknown(self._folder))
        return True

    def write(self, result: FileTags) -> None:
        """Write the file of one result."""
        self._tell()
        place = self._place(Path(result.path), SUFFIXES[self._format])
        failure = self._place(Path(result.path), FAILURE_SUFFIX)
        if result.error is not None:
            text, place, other = to_json(result) + "\n", failure, place
        else:
            around = replace(self._around, single=True, folder=place.parent, page=place.name)
            form = make_format(self._format, around)
            text, other = form.start() + form.add(result) + form.end(), failure
        with replaced(place, REMEDY, sync=False) as file:  # it takes as long as two files' tags
            file.write(text.encode())
        with explained(other, REMEDY):
            other.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open between results."""

    def _tell(self) -> None:
        """Say, once, what the results are made with."""
        if not self._is_told and self._around.provenance is not None:
            self._around.provenance.save(provenance_file(self._folder, True), REMEDY)
            self._is_told = True

    def _place(self, path: Path, suffix: str) -> Path:
        below = self._below(path)
        place = self._folder / below.with_name(fitting(below.name, suffix))
        if len(os.fsencode(os.path.abspath(place))) <= PATH_BYTES:
            return place
        return self._folder / LONG / fitting(f"{_hash(str(below))}-{below.name}", suffix)

    def _below(self, path: Path) -> Path:
        """The path of a file below the folder whose tree is mirrored."""
        full = Path(os.path.abspath(path))
        if full.is_relative_to(self._root):
            return full.relative_to(self._root)
        real, real_root = Path(real_path(str(path))), os.path.realpath(self._root)
        if real.is_relative_to(real_root):  # under another spelling
            return real.relative_to(real_root)
        return OUTSIDE / full.relative_to(full.anchor)


def fitting(name: str, suffix: str) -> str:
    """A name with a suffix; shortened, and made unique by a hash, where it would be too long."""
    if len(os.fsencode(name + suffix)) <= NAME_BYTES:
        return name + suffix
    tail = f"~{_hash(name)}{suffix}"
    return os.fsencode(name)[: NAME_BYTES - len(tail)].decode("utf-8", "ignore") + tail


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:DIGITS]


def unknown(output: Path) -> str:
    """A warning of an output that is added to."""
    return (
        f"{output} does not say what it was made with (nothing before this version did); "
        "what is added may be of another model or other options"
    )
