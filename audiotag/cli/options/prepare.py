"""Options of `audiotag prepare` that several kinds of sources have, and what SOURCE may be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from audiotag.cli.options import with_options
from audiotag.cli.options.types import COUNT, COUNT_OR_NONE, FOLDER, NEW_FOLDER, Number

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
OUT = click.argument("out", type=NEW_FOLDER)
VERIFY = click.option(
    "--verify", "verified", is_flag=True, help="Verify the data set at the end: see prepare verify."
)
LIMIT = click.option("--limit", type=COUNT, help="Take only the first NUMBER recordings.")
WORKERS = click.option(
    "--workers", type=COUNT, help="Threads that decode.  [default: one for each core]"
)


class Size(click.ParamType):
    """A number of bytes, with or without a unit."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes in a text such as 50MB."""
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
        type=COUNT,
        help="Divide the work into NUMBER shares, one for each machine.  [default: as many as "
        "torchrun, Slurm or Kubernetes started processes, else 1]",
    ),
    click.option(
        "--shard-index",
        type=COUNT_OR_NONE,
        help="Which share this machine does, counted from 0; goes with --num-shards.",
    ),
)
AUDIOSET_OPTIONS = (
    click.option(
        "--subset",
        "subsets",
        multiple=True,
        type=click.Choice(("balanced", "unbalanced", "eval")),
        help="Only this subset. May be given several times.  [default: all that there are]",
    ),
    click.option(
        "--class",
        "classes",
        multiple=True,
        metavar="LABEL",
        help="Only clips that have this label, a name or a mid; may be given several times.",
    ),
    click.option(
        "--metadata",
        type=FOLDER,
        help="Where the segment lists (*_segments.csv) are, if they are not beside the audio.",
    ),
)
OPTIONS = (
    click.option(
        "--sample-rate",
        type=Number("hz", int, 1000, 192_000),
        default=32_000,
        show_default=True,
        help="Rate that recordings are resampled to.",
    ),
    click.option(
        "--clip-seconds",
        type=Number("seconds", float, 0.1),
        default=10.0,
        show_default=True,
        help="Length of a clip; longer recordings are cut into several.",
    ),
    click.option(
        "--encoding",
        type=click.Choice(("flac", "wav")),
        default="flac",
        show_default=True,
        help="How clips are stored; wav takes twice the room, and training need not decode it.",
    ),
    click.option(
        "--shard-size",
        "shard_bytes",
        type=Size(),
        default="1GB",
        show_default=True,
        help="A shard (tar file) ends with the clip that reaches this size, or its 10,000th.",
    ),
    LIMIT,
    click.option(
        "--valid-percent",
        type=Number("percent", int, 0, 90),
        default=20,
        show_default=True,
        help="Percentage of the recordings for validation, if the source has no splits.",
    ),
    click.option("--keep-silence", is_flag=True, help="Do not leave out silent clips."),
    click.option(
        "--keep-duplicates",
        is_flag=True,
        help="Do not leave out clips that have the same samples as another.",
    ),
    WORKERS,
    *SHARE_OPTIONS,
    VERIFY,
    click.option(
        "--check",
        "checked",
        is_flag=True,
        help="Read the recordings of a data set that is there again, and say whether its clips "
        "are still theirs; it is left as it is.",
    ),
)


def options(command: Callable) -> Callable:
    """Add the arguments and options of all sources: OUT, and how it is written."""
    return OUT(with_options(OPTIONS, command))


def audioset_options(command: Callable) -> Callable:
    """Add the options that choose clips of AudioSet."""
    return with_options(AUDIOSET_OPTIONS, command)


def share_options(command: Callable) -> Callable:
    """Add the options that choose a share of the work."""
    return with_options(SHARE_OPTIONS, command)


def hub_or_folder(source: str, files: bool = False) -> Path | None:
    """The folder, or file, that SOURCE is; None if it is the id of a data set on the Hub.

    Args:
        source: What the user gave.
        files: Whether a file is allowed.

    Raises:
        BadParameter: If it is none of these.
    """
    path = Path(source)
    if path.is_dir() or (files and path.exists()):
        return path
    from audiotag.tagging.locate import HUB_ID

    if path.exists() or not HUB_ID.fullmatch(source) or source.startswith("."):
        kinds = (
            "neither a folder, a file nor a Hub id" if files else "neither a folder nor a Hub id"
        )
        raise click.BadParameter(f"{source} is {kinds}", param_hint="SOURCE")
    return None
