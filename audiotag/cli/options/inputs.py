"""Inputs: the arguments and options that `tag` and `embed` share, and what they name."""

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import click

SECONDS = click.FloatRange(min=0.01)
PRECISION = click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    help="bf16 (with torch): on a GPU, or a CPU with AMX, large models are faster; scores move, "
    "those of MobileNets by up to 0.1.",
)
OPTIONS = (
    click.argument("paths", nargs=-1, required=True, metavar="PATH..."),
    click.option(
        "--model",
        metavar="M",
        help="Model folder, .onnx file or Hub id; without it, the embedded one.",
    ),
    click.option(
        "--window", type=SECONDS, default=10.0, show_default=True, help="Seconds heard at once."
    ),
    click.option(
        "--hop", type=SECONDS, help="Seconds from one window to the next; without it, no overlap."
    ),
    click.option(
        "--include", multiple=True, metavar="GLOB", help="Only these files, whatever their suffix."
    ),
    click.option("--exclude", multiple=True, metavar="GLOB", help="Not these files and folders."),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto"),
    click.option(
        "--engine",
        type=click.Choice(["auto", "torch", "onnx"]),
        default="auto",
        help="auto: onnx on a CPU where the model has model.onnx, which starts sooner; else torch.",
    ),
    PRECISION,
    click.option("--batch-size", type=click.IntRange(min=1), help="Windows computed at once."),
    click.option("--workers", type=click.IntRange(min=1), help="Files decoded at once."),
)


def input_options(command: Callable) -> Callable:
    """Give a command the shared arguments and options."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def named_files(
    paths: Sequence[str], include: Sequence[str], exclude: Sequence[str]
) -> Iterator[Path]:
    """The files named, `-` read from standard input.

    Raises:
        click.UsageError: If there is none.
    """
    from audiotag.audio.find_files import LISTING, find_files

    listing = _standard_input() if LISTING in paths else ()
    files = find_files(paths, include, exclude, listing)
    first = next(files, None)
    if first is None:
        raise click.UsageError(
            f"no audio files in {', '.join(paths)}: name files one by one to have them tried "
            "whatever their suffix, or say which with --include"
        )
    return chain([first], files)


def recount(
    paths: Sequence[str], include: Sequence[str], exclude: Sequence[str]
) -> Iterator[Path] | None:
    """The files named once more, to be counted; None if they can be read only once."""
    from audiotag.audio.find_files import LISTING, find_files

    return None if LISTING in paths else find_files(paths, include, exclude)


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
