"""The arguments and options that `tag` and `embed` share, and the files and model in them."""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, wraps
from itertools import chain
from typing import IO, TYPE_CHECKING, Any

import click

from audiotag.audio.find_files import LISTING, Skipped, find_files
from audiotag.audio.windows import MAX_SECONDS, WINDOW
from audiotag.cli.options import with_options
from audiotag.cli.options.device import DEVICE, PRECISION
from audiotag.cli.options.types import COUNT, Number
from audiotag.runtime.escapes import visible

if TYPE_CHECKING:
    from audiotag.audio.in_memory import Input
    from audiotag.models.engine import Engine

MOST_HELPERS = 4  # started before the number of files is known
SECONDS = Number("seconds", float, 0.01, MAX_SECONDS)
MODEL = click.option(
    "--model",
    metavar="MODEL",
    help="Model folder, .onnx file, Hub id, or name that `audiotag models` lists; without it, "
    "the embedded model.",
)
ENGINE = click.option(
    "--engine",
    type=click.Choice(["auto", "torch", "onnx"]),
    default="auto",
    show_default=True,
    help="auto: onnx, which starts sooner, on a CPU if the model has a model.onnx; else torch.",
)
TRACK = click.option(
    "--track",
    type=COUNT,
    help="The audio track to hear, such as 2, in files with several.  [default: the one that "
    "players play]",
)
CHANNEL = click.option(
    "--channel",
    type=COUNT,
    help="The channel to hear, such as 1 for the left one.  [default: all, mixed]",
)
OPTIONS = (
    click.argument("paths", nargs=-1, required=True, metavar="PATH..."),
    MODEL,
    click.option(
        "--window",
        type=SECONDS,
        help="Length of the windows that files are cut into; no longer than the model takes.  "
        "[default: 10, or 2 with --events]",
    ),
    click.option(
        "--hop",
        type=SECONDS,
        help="From the start of one window to the start of the next.  [default: the length of a "
        "window, so that none overlap, or a quarter of it with --events]",
    ),
    click.option(
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Only files whose name matches, with any suffix. A glob with a / is compared with "
        "the path within PATH. May be given several times.",
    ),
    click.option(
        "--exclude",
        multiple=True,
        metavar="GLOB",
        help="Leave out files and folders that match, as for --include. May be given several "
        "times.",
    ),
    DEVICE,
    ENGINE,
    PRECISION,
    click.option(
        "--batch-size",
        type=COUNT,
        help="Windows computed at once.  [default: 8 on a CPU, 32 on a GPU]",
    ),
    click.option(
        "--workers",
        type=COUNT,
        help="Files decoded at once.  [default: one for each core, at most 4, or 16 for a GPU]",
    ),
    TRACK,
    CHANNEL,
)


@dataclass(frozen=True)
class Inputs:
    """The files that a command line names.

    Attributes:
        paths: Files, folders, and `-` for standard input: a list of paths, or audio.
        include: Globs; only files that match one.
        exclude: Globs; no files and folders that match one.
        skipped: Counts of what `files` passes over.
    """

    paths: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    skipped: Skipped = field(default_factory=Skipped)

    def files(self) -> Iterator["Input"]:
        """The files; `-` stands for standard input.

        Raises:
            click.UsageError: If there is no file, or the list cannot be read.
        """
        files = self._with_piped() if LISTING in self.paths else self._find(self.paths)
        with usage_errors():
            first = next(files, None)
        if first is None and self.paths == (LISTING,):
            raise click.UsageError(
                "standard input names no audio files: pipe paths into it, one a line, or audio"
            )
        if first is None:
            passed = self.skipped.describe()
            raise click.UsageError(
                f"no audio files in {visible(', '.join(self.paths))}: name files one by one to "
                "have them tried whatever their suffix, or say which with --include"
                + (f" (passed over: {passed})" if passed else "")
            )
        return chain([first], files)

    def recount(self) -> Iterator["Input"] | None:
        """The files again, to be counted; None if they can be listed only once."""
        if LISTING in self.paths:
            return None
        return find_files(self.paths, self.include, self.exclude)

    def is_audio_piped(self) -> bool:
        """Whether standard input is a recording, not a list of paths."""
        from audiotag.audio.standard_input import is_audio

        return is_audio(self._piped[1])

    @cached_property
    def _piped(self) -> tuple[IO[bytes], bytes]:
        """Standard input, and its beginning, which has been read."""
        from audiotag.audio.standard_input import read_head

        file = _standard_input()
        return file, read_head(file)

    def _with_piped(self) -> Iterator["Input"]:
        """The files, where `-` stands for the paths that standard input lists, or for its audio."""
        from audiotag.audio.in_memory import Sound
        from audiotag.audio.standard_input import listed_paths

        file, head = self._piped
        if not self.is_audio_piped():
            return self._find(self.paths, listed_paths(head, file))
        click.echo(f"Standard input is audio, not a list of paths; its name is {LISTING}", err=True)
        place = self.paths.index(LISTING)
        before, after = self._find(self.paths[:place]), self._find(self.paths[place + 1 :])
        return chain(before, [Sound(LISTING, head + file.read())], after)

    def _find(self, paths: tuple[str, ...], listing: Iterable[str] = ()) -> Iterator["Input"]:
        return find_files(paths, self.include, self.exclude, listing, self.skipped.add)


@dataclass(frozen=True)
class Computation:
    """The model and how to compute it: arguments of `open_engine`."""

    model: str | None
    device: str
    engine: str
    precision: str

    def open(self) -> "Engine":
        """Load the model; errors as `open_engine`."""
        from audiotag.cli.process import prepare_to_compute
        from audiotag.tagging.open import open_engine

        engine = open_engine(self.model, self.device, self.engine, self.precision)
        prepare_to_compute("cuda" if engine.is_gpu else "cpu")
        return engine


def input_options(command: Callable) -> Callable:
    """Add the shared arguments and options to a command. It is called with `Inputs`, a
    `Computation`, and the other values by name.
    """

    @wraps(command)
    def gathered(
        paths: tuple[str, ...],
        include: tuple[str, ...],
        exclude: tuple[str, ...],
        model: str | None,
        device: str,
        engine: str,
        precision: str,
        **options: Any,
    ) -> None:
        inputs = Inputs(paths, include, exclude)
        _say_gaps(options["window"] or WINDOW, options["hop"])
        _start_helpers(inputs, options["workers"])
        command(inputs, Computation(model, device, engine, precision), **options)

    return with_options(OPTIONS, gathered)


def _start_helpers(inputs: Inputs, workers: int | None) -> None:
    """Start helpers for the first files, while this process loads the model."""
    from audiotag.audio.helpers import HELPERS

    is_one = len(inputs.paths) == 1 and os.path.isfile(inputs.paths[0])
    HELPERS.start(1 if is_one else min(workers or os.cpu_count() or 1, MOST_HELPERS))


def _say_gaps(window: float, hop: float | None) -> None:
    if hop is not None and hop > window:
        click.echo(
            f"--hop {hop:g} is longer than --window {window:g}: of every {hop:g} s, "
            f"{hop - window:g} s are not heard",
            err=True,
        )


@contextmanager
def usage_errors() -> Iterator[None]:
    """Report a ValueError, about values that exclude each other, as wrong usage."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(visible(str(error))) from error


def _standard_input() -> IO[bytes]:
    """Standard input, unbuffered: a path in a list can be read as soon as it is written.

    It is not `sys.stdin`, which Python cannot close at the end if a thread is still waiting for a
    path.
    """
    try:
        return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    except io.UnsupportedOperation:
        return sys.stdin.buffer  # replaced by a program, not a file


@contextmanager
def hub_usage() -> Iterator[None]:
    """Report a HubError, about how a Hub id is written, as wrong usage."""
    from audiotag.errors import HubError

    try:
        yield
    except HubError as error:
        raise click.UsageError(str(error)) from error
