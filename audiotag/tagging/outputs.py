"""Outputs: where results go, and which results are there already.

A stream (standard output or a file) takes the results one after the other. A folder takes a file
for each result, in the same tree as the inputs. A file beside the output, or in the folder, says
what it was made with (see `provenance`). Only one process at a time adds to an output.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from audiotag.audio.find_files import LISTING
from audiotag.audio.sources import Listening
from audiotag.runtime.files import appended, make_folder, replaced
from audiotag.runtime.lock import lock_of, locked
from audiotag.tagging.csv_rows import CSV_COLUMNS, EVENT_COLUMNS
from audiotag.tagging.formats import (
    FORMATS,
    OF_ONE,
    RESUMABLE,
    Surroundings,
    format_of,
    make_format,
)
from audiotag.tagging.output import REMEDY, Output, Warn
from audiotag.tagging.provenance import (
    Provenance,
    provenance_file,
    provenance_of,
    read_provenance,
    settings_of,
)
from audiotag.tagging.result_folder import ResultFolder, unknown
from audiotag.tagging.result_stream import ContinuedStream, ResultStream, standard_output
from audiotag.tagging.resume import recover

if TYPE_CHECKING:
    from audiotag.models.engine import Engine
    from audiotag.tagging.tag import TagOptions

STANDARD_OUTPUT = "-"  # the name that stands for it


@dataclass(frozen=True)
class OutputPlan:
    """A plan of where results go, made before anything is loaded or written.

    Attributes:
        target: File or folder; None for standard output.
        folder: Whether `target` is a folder.
        format: Name of the format.
        single: Whether there is at most one recording.
        resume: Whether to add to an existing output.
        root: The folder whose tree an output folder mirrors.
        bom: Whether a csv begins with the byte order mark, by which Excel recognises UTF-8.
        guesses: Whether formats for other programs have guesses too.
        previews: Whether a page has previews of recordings that browsers do not play.
    """

    target: Path | None
    folder: bool
    format: str
    single: bool
    resume: bool
    root: Path
    bom: bool = False
    guesses: bool = False
    previews: bool = True

    @contextmanager
    def open(
        self, engine: "Engine", options: "TagOptions", warn: Warn = lambda text: None
    ) -> Iterator[Output]:
        """The output, for results of a model; nothing is written before the first result.

        Args:
            engine: The model.
            options: How it tags.
            warn: Called with a sentence if an output is resumed that does not say what it was made
                with.

        Raises:
            DataError: If the output cannot be resumed, or was made with another model or options.
            OutputError: If it cannot be written, or another process is writing it.
        """
        rate = engine.sample_rate
        around = Surroundings(
            self.single,
            rate,
            self._parent,
            bom=self.bom,
            columns=EVENT_COLUMNS if options.events else CSV_COLUMNS,
            guesses=self.guesses,
            page=self._page,
            listening=Listening(options.track, options.channel) if self.previews else None,
        )
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
    def _page(self) -> str | None:
        is_page = self.target is not None and self._is_kept and not self.folder
        return self.target.name if is_page and self.target is not None else None

    @property
    def _is_kept(self) -> bool:
        """Whether the output still exists afterwards, unlike that to a device or a pipe."""
        if self.target is None:
            return False
        return self.folder or self.target.is_file() or not self.target.exists()

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """Keep other processes from writing the output."""
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
            return ResultStream("standard output", form, standard_output)
        if self.folder:
            return self._result_folder(self.target, around, warn)
        if self.resume and self.target.is_file() and self.target.stat().st_size > 0:
            return self._continued(self.target, around, warn)
        return self._begun(self.target, around)

    def _begun(self, target: Path, around: Surroundings) -> "Output":
        """A new file, with a file beside it that says what it is made with."""

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
        form = make_format(self.format, replace(around, columns=earlier.columns or around.columns))
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
    is_audio: Callable[[], bool] = lambda: False,
) -> OutputPlan:
    """Decide where results go.

    An existing folder, a name that ends in `/`, and a new name without a suffix are folders;
    anything else is a file. Without a format, a file's suffix decides; a folder gets jsonl,
    standard output a table.

    Args:
        paths: The paths to tag, as the user named them.
        target: File or folder to write; standard output if `-` or None.
        format: Name of the format, if chosen.
        resume: Whether to add to what is there.
        bom: Whether a csv begins with the mark by which Excel knows UTF-8.
        is_audio: Whether standard input is a recording, not a list; waits for it, and is asked
            where `paths` is `-` alone.

    Raises:
        ValueError: If these exclude each other; the message names the remedy.
    """
    if target == STANDARD_OUTPUT:
        target = None
    folder = target is not None and _is_folder(target)
    chosen = format or _default_format(target, folder)
    plan = OutputPlan(
        target=None if target is None else Path(target),
        folder=folder,
        format=chosen,
        single=len(paths) == 1 and not os.path.isdir(paths[0]),
        resume=resume,
        root=_root(paths),
        bom=bom,
    )
    _check(plan)
    if list(paths) == [LISTING] and not is_audio():
        plan = replace(plan, single=False)
        _check(plan)
    return plan


def _checked(output: Path, record: Path, now: Provenance | None, warn: Warn) -> str:
    """The folder that an output's paths are relative to, or whose tree it mirrors; empty if it is
    not known, or no longer exists, for instance because it was moved.

    Raises:
        DataError: If the output was made with another model or options than `now`.
    """
    old = read_provenance(record)
    if old is None or now is None:
        warn(unknown(output))
        return ""
    old.check(now, output, record)
    return old.folder if old.folder is not None and os.path.isdir(old.folder) else ""


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
    """The folder that contains all inputs; for a list of paths, the current folder."""
    if LISTING in paths:
        return Path.cwd()
    full = [os.path.abspath(path) for path in paths]
    return Path(os.path.commonpath([p if os.path.isdir(p) else os.path.dirname(p) for p in full]))


def _check(plan: OutputPlan) -> None:
    if plan.format in OF_ONE and not plan.single and not plan.folder:
        raise ValueError(
            f"{OF_ONE[plan.format]} belong to one recording: for several give --output FOLDER, "
            "which gets a file for each, or use --format raven"
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
    """Raise a ValueError if the output exists: a forgotten --resume must not delete results."""
    if target.is_file() and target.stat().st_size > 0:
        resume = "add --resume to add to it, or " if format in RESUMABLE else ""
        raise ValueError(f"{target} exists: {resume}remove it or choose another --output")
