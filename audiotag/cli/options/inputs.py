"""Inputs: the arguments and options that `tag` and `embed` share, and what they name."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audiotag.cli.options import with_options
from audiotag.cli.options.device import DEVICE, PRECISION
from audiotag.cli.options.types import COUNT, Number

if TYPE_CHECKING:
    from audiotag.models.engine import Engine

SECONDS = Number("seconds", float, 0.01)
OPTIONS = (
    click.argument("paths", nargs=-1, required=True, metavar="PATH..."),
    click.option(
        "--model",
        metavar="MODEL",
        help="Model folder, .onnx file or Hub id; without it, the embedded model.",
    ),
    click.option(
        "--window",
        type=SECONDS,
        default=10.0,
        show_default=True,
        help="Files are cut into windows of this length.",
    ),
    click.option(
        "--hop",
        type=SECONDS,
        help="From the start of one window to the start of the next.  [default: the length of a "
        "window, so that none overlap]",
    ),
    click.option(
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Only files whose name matches (a glob with a /: whose path within PATH), whatever "
        "their suffix; may be given several times.",
    ),
    click.option(
        "--exclude",
        multiple=True,
        metavar="GLOB",
        help="No files and folders that match, as for --include; may be given several times.",
    ),
    DEVICE,
    click.option(
        "--engine",
        type=click.Choice(["auto", "torch", "onnx"]),
        default="auto",
        show_default=True,
        help="auto: onnx, which starts sooner, on a CPU if the model has a model.onnx; else torch.",
    ),
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
)


@dataclass(frozen=True)
class Inputs:
    """The files that a command line names.

    Attributes:
        paths: Files, folders, and `-` for a list on standard input.
        include: Globs; only files that match one.
        exclude: Globs; no files and folders that match one.
    """

    paths: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]

    def files(self) -> Iterator[Path]:
        """The files, `-` read from standard input.

        Raises:
            click.UsageError: If there is none.
        """
        from audiotag.audio.find_files import LISTING, find_files

        listing = _standard_input() if LISTING in self.paths else ()
        files = find_files(self.paths, self.include, self.exclude, listing)
        first = next(files, None)
        if first is None:
            raise click.UsageError(
                f"no audio files in {', '.join(self.paths)}: name files one by one to have them "
                "tried whatever their suffix, or say which with --include"
            )
        return chain([first], files)

    def recount(self) -> Iterator[Path] | None:
        """The files once more, to be counted; None if they can be read only once."""
        from audiotag.audio.find_files import LISTING, find_files

        if LISTING in self.paths:
            return None
        return find_files(self.paths, self.include, self.exclude)


@dataclass(frozen=True)
class Computation:
    """What computes: arguments of `open_engine`."""

    model: str | None
    device: str
    engine: str
    precision: str

    def open(self) -> "Engine":
        """Load the model; errors as of `open_engine`."""
        from audiotag.tagging.open import open_engine

        return open_engine(self.model, self.device, self.engine, self.precision)


def input_options(command: Callable) -> Callable:
    """Give a command the shared arguments and options: it gets `Inputs`, a `Computation`, and the
    other values by name.
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
        command(inputs, Computation(model, device, engine, precision), **options)

    return with_options(OPTIONS, gathered)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn a ValueError, about values that do not go together, into wrong usage."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _standard_input() -> Iterator[str]:
    """Lines of standard input, in any encoding file names have.

    A reader of its own, because a thread may still be waiting in it when the program ends, and
    Python then cannot close `sys.stdin`.
    """
    try:
        lines: io.TextIOBase = open(
            sys.stdin.fileno(), encoding="utf-8", errors="surrogateescape", closefd=False
        )
    except io.UnsupportedOperation:
        lines = sys.stdin  # type: ignore[assignment]  # put there by a program, not a file
    yield from lines


@contextmanager
def hub_usage() -> Iterator[None]:
    """Turn a HubError, about what was written, into wrong usage."""
    from audiotag.errors import HubError

    try:
        yield
    except HubError as error:
        raise click.UsageError(str(error)) from error
