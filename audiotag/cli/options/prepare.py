"""Options of `audiotag prepare` that all kinds of sources have."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT = click.argument("out", type=click.Path(file_okay=False, path_type=Path))
VERIFY = click.option(
    "--verify", "verified", is_flag=True, help="Read every clip again at the end."
)
LIMIT = click.option("--limit", type=click.IntRange(1), help="Only the first so many recordings.")


class Size(click.ParamType):
    """Bytes, with a unit or without."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes of a text such as 50MB."""
        text = str(value).strip().upper()
        number = text.rstrip("BKMGT")
        try:
            size = int(float(number) * UNITS[text[len(number) :]])
        except (ValueError, KeyError, OverflowError):
            size = 0
        if size < 1:
            self.fail(f"{value!r} is not a size; write it as 1GB or 50MB", param, ctx)
        return size


SHARE_OPTIONS = (
    click.option(
        "--num-shards",
        type=click.IntRange(1),
        help="Divide the work between so many machines. Without it as "
        "torchrun, Slurm or Kubernetes say.",
    ),
    click.option("--shard-index", type=click.IntRange(0), help="Which share this is, from 0 on."),
)
AUDIOSET_OPTIONS = (
    click.option(
        "--subset",
        "subsets",
        multiple=True,
        type=click.Choice(("balanced", "unbalanced", "eval")),
        help="Only this one; may be repeated.  [default: those there are]",
    ),
    click.option(
        "--class",
        "classes",
        multiple=True,
        help="Only clips that have this label, a name or a mid; may be repeated.",
    ),
    click.option(
        "--metadata",
        type=FOLDER,
        help="Folder of the segment lists (*_segments.csv), if they are not beside the audio.",
    ),
)
OPTIONS = (
    click.option(
        "--sample-rate",
        type=click.IntRange(1000, 192_000),
        default=32_000,
        show_default=True,
        help="Hz.",
    ),
    click.option(
        "--clip-seconds",
        type=click.FloatRange(0.1),
        default=10.0,
        show_default=True,
        help="Longer recordings are cut into several clips.",
    ),
    click.option(
        "--encoding",
        type=click.Choice(("flac", "wav")),
        default="flac",
        show_default=True,
        help="Of the clips in the tar files: wav takes twice the room and need not be decoded.",
    ),
    click.option(
        "--shard-size",
        "shard_bytes",
        type=Size(),
        default="1GB",
        show_default=True,
        help="A tar file ends with the clip that reaches it, or its 10,000th.",
    ),
    LIMIT,
    click.option("--keep-silence", is_flag=True, help="Take silent clips too."),
    click.option("--keep-duplicates", is_flag=True, help="Take clips of equal samples too."),
    click.option(
        "--workers", type=click.IntRange(1), help="Threads that decode.  [default: one a core]"
    ),
    *SHARE_OPTIONS,
    VERIFY,
)


def options(command: Callable) -> Callable:
    """Add what all kinds of sources have: OUT and how it is written."""
    return OUT(_with(OPTIONS, command))


def audioset_options(command: Callable) -> Callable:
    """Add which clips of AudioSet are meant."""
    return _with(AUDIOSET_OPTIONS, command)


def share_options(command: Callable) -> Callable:
    """Add which part of the work is meant."""
    return _with(SHARE_OPTIONS, command)


def _with(added: Sequence[Callable], command: Callable) -> Callable:
    for option in reversed(added):
        command = option(command)
    return command
