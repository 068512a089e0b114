"""Outputs: where results go, and which results are there already.

One stream (standard output or a file) takes the results one after the other; a folder takes a
file for each result, in the same tree as the inputs. Beside a file, or in a folder, lies what it
was made with (see `provenance`), and one process at a time adds to it.
"""

import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self

from audiotag.audio.find_files import LISTING
from audiotag.runtime.escapes import printable
from audiotag.runtime.files import appended, explained, make_folder, replaced
from audiotag.runtime.lock import lock_of, locked
from audiotag.tagging.formats import (
    FORMATS,
    RESUMABLE,
    SUFFIXES,
    Surroundings,
    format_of,
    make_format,
)
from audiotag.tagging.provenance import (
    Provenance,
    provenance_file,
    provenance_of,
    read_provenance,
    settings_of,
)
from audiotag.tagging.results import FileTags
from audiotag.tagging.resume import Earlier, cut, real_path, recover, settle
from audiotag.tagging.text import Format, to_json

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from audiotag.models.engine import Engine
    from audiotag.tagging.tag import TagOptions

STANDARD_OUTPUT = "-"  # the name that stands for it
FAILURE_SUFFIX = ".error.json"
REMEDY = "make room or rights for it, or choose another --output"
OUTSIDE = "_outside"  # in an output folder, holds results of files from outside the current folder
LONG = "_long"  # holds results of files whose path would be too long
NAME_BYTES, PATH_BYTES = 255, 4080  # of a file's name and path; a file being written has 9 more
DIGITS = 16  # of a hash that makes a shortened name unique
Warn = Callable[[str], None]


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
        bom: Whether a csv begins with the mark by which Excel knows UTF-8.
        guesses: Whether formats for other programs have the tags below their thresholds.
    """

    target: Path | None
    folder: bool
    format: str
    single: bool
    resume: bool
    root: Path
    bom: bool = False
    guesses: bool = False

    @contextmanager
    def open(
        self, engine: "Engine", options: "TagOptions", warn: Warn = lambda text: None
    ) -> Iterator[Output]:
        """The output, for results of a model; nothing is written before the first result.

        Args:
            engine: The model.
            options: How it tags.
            warn: Called with a sentence where an output is gone on with that does not say what it
                was made with.

        Raises:
            DataError: If the output cannot be resumed, or was made with something else.
            OutputError: If it cannot be written, or another process writes it.
        """
        rate = engine.sample_rate
        around = Surroundings(self.single, rate, self._parent, bom=self.bom, guesses=self.guesses)
        if self._is_kept or self.format == "html":
            about: dict[str, Any] = {"folder": str(self.root if self.folder else Path.cwd())}
            about |= {"guesses": True} if self.guesses else {}
            settings = {**settings_of(options), **about}
            around = replace(around, provenance=provenance_of(engine, settings, self.format))
        with self._claimed(), self._output(around, warn) as out:
            yield out

    @property
    def is_resumable(self) -> bool:
        """Whether a later run can add to it."""
        return self.target is not None and (self.folder or self.format in RESUMABLE)

    @property
    def _parent(self) -> Path:
        return Path() if self.target is None else self.target.parent

    @property
    def _is_kept(self) -> bool:
        """Whether the output is there afterwards, as that of a device or pipe is not."""
        if self.target is None:
            return False
        return self.folder or self.target.is_file() or not self.target.exists()

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """Keep other processes from the output."""
        if self.target is None or not self._is_kept:
            yield
            return
        if self.folder:
            make_folder(self.target, REMEDY)
        held = f"another process writes {self.target}; wait for it or choose another --output"
        with locked(lock_of(self.target), held, REMEDY, self.target):
            yield

    def _output(self, around: Surroundings, warn: Warn) -> "Output":
        if self.target is None:
            form = make_format(self.format, around)
            return ResultStream("standard output", form, _standard_output)
        if self.folder:
            return self._result_folder(self.target, around, warn)
        if self.resume and self.target.is_file() and self.target.stat().st_size > 0:
            return self._continued(self.target, around, warn)
        return self._begun(self.target, around)

    def _begun(self, target: Path, around: Surroundings) -> "Output":
        """A new file, with what it is made with beside it."""

        @contextmanager
        def opened() -> Iterator[BinaryIO]:
            if self._is_kept and around.provenance is not None:
                around.provenance.save(provenance_file(target, False), REMEDY)
            write = appended if self.format in RESUMABLE else replaced
            with write(target, REMEDY) as file:
                yield file

        return ResultStream(str(target), make_format(self.format, around), opened)

    def _continued(self, target: Path, around: Surroundings, warn: Warn) -> "Output":
        """A file of an earlier run."""
        record = provenance_file(target, False)
        folder = _checked(target, record, around.provenance, warn)
        earlier = recover(target, self.format, folder, REMEDY)
        form = make_format(self.format, replace(around, columns=earlier.columns))
        return ContinuedStream(target, self.format, form, earlier)

    def _result_folder(self, target: Path, around: Surroundings, warn: Warn) -> "Output":
        record = provenance_file(target, True)
        if not record.exists():
            return ResultFolder(target, self.root, self.format, around, self.resume, warn)
        root = _checked(target, record, around.provenance, warn) or str(self.root)
        return ResultFolder(target, Path(root), self.format, around, self.resume, is_told=True)


def plan_output(
    paths: Sequence[str],
    target: str | None,
    format: str | None,
    resume: bool,
    bom: bool = False,
) -> OutputPlan:
    """Decide where results go.

    An existing folder, a name that ends in `/`, and a new name without a suffix are folders;
    anything else is a file. Without a format, a file's suffix decides; a folder gets jsonl,
    standard output a table.

    Args:
        paths: What is to be tagged, as the user named it.
        target: File or folder to write; standard output if `-` or None.
        format: Name of the format, if chosen.
        resume: Whether to add to what is there.
        bom: Whether a csv begins with the mark by which Excel knows UTF-8.

    Raises:
        ValueError: If these do not go together; the message names the remedy.
    """
    if target == STANDARD_OUTPUT:
        target = None
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
        bom=bom,
    )
    _check(plan)
    return plan


class ResultStream:
    """Results one after the other in a stream, each written out at once.

    Args:
        name: What messages call it.
        form: The format.
        opener: Gives the stream when there is a first result.
    """

    def __init__(
        self, name: str, form: Format, opener: Callable[[], AbstractContextManager[BinaryIO]]
    ) -> None:
        self._name, self._form, self._opener = name, form, opener
        self._stream: BinaryIO | None = None
        self._exit = ExitStack()

    def has(self, path: Path) -> bool:
        """Whether an earlier run has tagged this file."""
        return False

    def write(self, result: FileTags) -> None:
        """Append one result."""
        if self._stream is None:
            self._stream = self._exit.enter_context(self._opener())
            self._put(self._start())
        self._put(self._form.add(result))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._exit:
            self._put(self._form.end())

    def _start(self) -> str:
        """What comes before the first result."""
        return self._form.start()

    def _put(self, text: str) -> None:
        if self._stream is not None and text:
            with explained(self._name, REMEDY):
                self._stream.write(text.encode())
                self._stream.flush()


class ContinuedStream(ResultStream):
    """A file of results that an earlier run began, and where files that failed are tried again.

    Args:
        target: The file.
        format: Name of the format.
        form: The format.
        earlier: What the file holds.
    """

    def __init__(self, target: Path, format: str, form: Format, earlier: Earlier) -> None:
        super().__init__(str(target), form, lambda: appended(target, REMEDY))
        self._target, self._format, self._earlier = target, format, earlier
        self._is_torn = False

    def has(self, path: Path) -> bool:
        """Whether an earlier run has tagged this file."""
        return self._earlier.take(str(path))

    def write(self, result: FileTags) -> None:
        """Append one result, under the name that the file had in the earlier run."""
        self._is_torn, is_first = True, self._stream is None
        name = self._earlier.name_of(result.path, is_first)
        if is_first:
            cut(self._target, self._earlier.size, REMEDY)
        super().write(replace(result, path=name))
        self._is_torn = False

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if not (self._earlier.is_settled or self._is_torn):
            settle(self._target, self._format, REMEDY)

    def _start(self) -> str:
        return "" if self._earlier.size else self._form.start()


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
            self._warn(_unknown(self._folder))
        return True

    def write(self, result: FileTags) -> None:
        """Write the file of one result."""
        self._tell()
        place = self._place(Path(result.path), SUFFIXES[self._format])
        failure = self._place(Path(result.path), FAILURE_SUFFIX)
        if result.error is not None:
            text, place, other = to_json(result) + "\n", failure, place
        else:
            around = replace(self._around, single=True, folder=place.parent)
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


def _checked(output: Path, record: Path, now: Provenance | None, warn: Warn) -> str:
    """The folder that an output's relative paths start from, or that it mirrors; empty where that
    is not known, or is no longer there, as where a tree was moved.

    Raises:
        DataError: If the output was not made with what is `now`.
    """
    old = read_provenance(record)
    if old is None or now is None:
        warn(_unknown(output))
        return ""
    old.check(now, output, record)
    return old.folder if old.folder is not None and os.path.isdir(old.folder) else ""


def _unknown(output: Path) -> str:
    return (
        f"{output} does not say what it was made with (nothing before this version did); "
        "what is added may be of another model or other options"
    )


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
    if plan.bom and plan.format != "csv":
        raise ValueError("--csv-bom is for csv: add --format csv, or leave it out")
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
    yield _Terminal() if sys.stdout.isatty() else sys.stdout.buffer


class _Terminal(io.RawIOBase, BinaryIO):
    """Standard output where it is a terminal: it gets what it can show, and acts on nothing."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Show UTF-8."""
        lines = bytes(data).decode().split("\n")
        sys.stdout.write("\n".join(printable(line, sys.stdout.encoding) for line in lines))
        return len(bytes(data))

    def flush(self) -> None:
        """Show it now."""
        sys.stdout.flush()
