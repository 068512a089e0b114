"""Outputs: where results go, and which results are there already.

One stream (standard output or a file) takes the results one after the other; a folder takes a
file for each result, in the same tree as the inputs.
"""

import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from audiotag.audio.find_files import LISTING
from audiotag.runtime.files import appended, explained, replaced
from audiotag.tagging.formats import FORMATS, RESUMABLE, SUFFIXES, format_of, make_format
from audiotag.tagging.results import FileTags
from audiotag.tagging.resume import recover
from audiotag.tagging.text import Format, to_json

FAILURE_SUFFIX = ".error.json"
REMEDY = "make room or rights for it, or choose another --output"
OUTSIDE = "_outside"  # in an output folder, holds results of files from outside the current folder


class Output(Protocol):
    """Takes results; a context that keeps what it has taken, for whatever reason it is left."""

    def has(self, path: Path) -> bool:
        """Whether an earlier run has tagged this file."""

    def write(self, result: FileTags) -> None:
        """Take one more result."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


@dataclass(frozen=True)
class OutputPlan:
    """Where results go, decided before anything is loaded or written.

    Attributes:
        target: File or folder; None for standard output.
        folder: Whether `target` is a folder.
        format: Name of the format.
        single: Whether there is one recording at most.
        resume: Whether to add to what is there.
        root: The folder whose tree an output folder mirrors.
    """

    target: Path | None
    folder: bool
    format: str
    single: bool
    resume: bool
    root: Path

    def open(self, sample_rate: int) -> "Output":
        """The output; nothing is written before the first result.

        Raises:
            DataError: If the output cannot be resumed.
        """
        folder = Path() if self.target is None else self.target.parent
        form = make_format(self.format, self.single, sample_rate, folder)
        if self.target is None:
            return ResultStream("standard output", form, _standard_output)
        if self.folder:
            return ResultFolder(
                self.target, self.root, self.format, sample_rate, resume=self.resume
            )
        target = self.target
        if self.format not in RESUMABLE:
            return ResultStream(str(target), form, lambda: replaced(target, REMEDY))
        done = recover(target, self.format) if self.resume else frozenset()
        return ResultStream(str(target), form, lambda: appended(target, REMEDY), done)


def plan_output(
    paths: Sequence[str], target: str | None, format: str | None, resume: bool
) -> OutputPlan:
    """Decide where results go.

    An existing folder, a name that ends in `/`, and a new name without a suffix are folders;
    anything else is a file. Without a format, a file's suffix decides; a folder gets jsonl,
    standard output a table.

    Args:
        paths: What is to be tagged, as the user named it.
        target: File or folder to write; standard output if None.
        format: Name of the format, if chosen.
        resume: Whether to add to what is there.

    Raises:
        ValueError: If these do not go together; the message names the remedy.
    """
    folder = target is not None and _is_folder(target)
    chosen = format or _default_format(target, folder)
    single = len(paths) == 1 and paths[0] != LISTING and not os.path.isdir(paths[0])
    plan = OutputPlan(
        target=None if target is None else Path(target),
        folder=folder,
        format=chosen,
        single=single,
        resume=resume,
        root=_root(paths),
    )
    _check(plan)
    return plan


class ResultStream:
    """Results one after the other in a stream, each written out at once.

    Args:
        name: What messages call it.
        form: The format.
        opener: Gives the stream when there is a first result.
        done: Files the stream holds already.
    """

    def __init__(
        self,
        name: str,
        form: Format,
        opener: Callable[[], AbstractContextManager[BinaryIO]],
        done: Collection[str] = frozenset(),
    ) -> None:
        self._name, self._form, self._opener, self._done = name, form, opener, done
        self._stream: BinaryIO | None = None
        self._exit = ExitStack()

    def has(self, path: Path) -> bool:
        """Whether an earlier run has tagged this file."""
        return str(path) in self._done

    def write(self, result: FileTags) -> None:
        """Append one result."""
        if self._stream is None:
            self._stream = self._exit.enter_context(self._opener())
            self._put("" if self._done else self._form.start())
        self._put(self._form.add(result))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._exit:
            self._put(self._form.end())

    def _put(self, text: str) -> None:
        if self._stream is not None and text:
            with explained(self._name, REMEDY):
                self._stream.write(text.encode("utf-8", "surrogateescape"))
                self._stream.flush()


class ResultFolder:
    """A file for each result, in the same tree as the inputs; each appears when it is whole.

    An input that failed has `<name>.error.json` instead, until it succeeds.

    Args:
        folder: Made if it does not exist.
        root: Inputs below it keep their path below it.
        format: Name of the format.
        sample_rate: That of the model, in Hz.
        resume: Whether results that are there stay.
    """

    def __init__(
        self, folder: Path, root: Path, format: str, sample_rate: int, resume: bool
    ) -> None:
        self._folder, self._root = folder, root
        self._format, self._sample_rate, self._resume = format, sample_rate, resume

    def has(self, path: Path) -> bool:
        """Whether an earlier run has tagged this file."""
        return self._resume and self._place(path, SUFFIXES[self._format]).exists()

    def write(self, result: FileTags) -> None:
        """Write the file of one result."""
        place = self._place(Path(result.path), SUFFIXES[self._format])
        failure = self._place(Path(result.path), FAILURE_SUFFIX)
        if result.error is not None:
            text, place, other = to_json(result) + "\n", failure, place
        else:
            form = make_format(self._format, True, self._sample_rate, place.parent)
            text, other = form.start() + form.add(result) + form.end(), failure
        with replaced(place, REMEDY, sync=False) as file:  # it takes as long as two files' tags
            file.write(text.encode("utf-8", "surrogateescape"))
        with explained(other, REMEDY):
            other.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open between results."""

    def _place(self, path: Path, suffix: str) -> Path:
        full = Path(os.path.abspath(path))
        if full.is_relative_to(self._root):
            below = full.relative_to(self._root)
        else:
            below = OUTSIDE / full.relative_to(full.anchor)
        return self._folder / below.with_name(below.name + suffix)


def _is_folder(target: str) -> bool:
    if os.path.exists(target):
        return os.path.isdir(target)
    return target.endswith(("/", os.sep)) or not Path(target).suffix


def _default_format(target: str | None, folder: bool) -> str:
    if target is None:
        return "table"
    if folder:
        return "jsonl"
    format = format_of(target)
    if format is None:
        raise ValueError(
            f"the name {target!r} does not say which format to write; "
            f"add --format {'|'.join(FORMATS)}"
        )
    return format


def _root(paths: Sequence[str]) -> Path:
    """The folder that all inputs are below; the current one for a list."""
    if LISTING in paths:
        return Path.cwd()
    full = [os.path.abspath(path) for path in paths]
    return Path(os.path.commonpath([p if os.path.isdir(p) else os.path.dirname(p) for p in full]))


def _check(plan: OutputPlan) -> None:
    if plan.format == "audacity" and not plan.single and not plan.folder:
        raise ValueError(
            "an Audacity label track belongs to one recording: for several give "
            "--output FOLDER, which gets one for each, or use --format raven"
        )
    if plan.resume and plan.target is None:
        raise ValueError("--resume adds to an earlier output: add --output FILE or FOLDER")
    if plan.resume and not plan.folder and plan.format not in RESUMABLE:
        raise ValueError(
            f"one file of {plan.format} cannot be resumed: use --format jsonl or csv, "
            "or --output FOLDER"
        )
    if not plan.resume and plan.target is not None and not plan.folder:
        _check_unused(plan.target, plan.format)


def _check_unused(target: Path, format: str) -> None:
    """Hours of results must not be lost because someone forgot --resume."""
    if target.is_file() and target.stat().st_size > 0:
        resume = "add --resume to add to it, or " if format in RESUMABLE else ""
        raise ValueError(f"{target} exists: {resume}remove it or choose another --output")


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    yield sys.stdout.buffer
